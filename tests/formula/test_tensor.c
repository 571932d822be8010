/* SPDX-License-Identifier: MIT */
/* TensorDot and Kron of formula strings against sums over indices, for random shapes, axes and permutations. */
#include "dense.h"
#include "text.h"

enum { ROWS = 2, COLUMNS = 2, MOST_AXES = 4, CASES = 300 };

static kf_graph g;
static dense d;

static void setup(void)
{
    dense_init(&d, &g, ROWS, COLUMNS, 1);
}

static void teardown(void)
{
    dense_finish(&d);
}

typedef struct tensor {
    int rank, size[MOST_AXES], count;
    const kf_node *var;
} tensor;

static tensor random_tensor(const char *name, kf_role role, const tensor *like, kf_binding *binding)
{
    tensor t = {.rank = like ? like->rank : 1 + dense_below(&d, 3), .count = 1};
    for (int k = 0; k < t.rank; k++)
        t.count *= t.size[k] = 1 + dense_below(&d, 3);
    t.var = dense_var(&d, role, t.count, -2, 2);
    *binding = (kf_binding){name, t.var};
    return t;
}

/* Numbers 0 to n - 1 in any order. */
static void shuffle(int n, int *out)
{
    for (int k = 0; k < n; k++) {
        int at = dense_below(&d, k + 1);
        out[k] = out[at];
        out[at] = k;
    }
}

static void put_list(char *text, const char *before, int count, const int *numbers)
{
    sprintf(text + strlen(text), "%s", before);
    for (int k = 0; k < count; k++)
        sprintf(text + strlen(text), "%s%d", k ? "," : "", numbers[k]);
    strcat(text, strchr(before, '[') ? "]" : ")");
}

static const kf_node *parsed(const char *text, const kf_binding *bindings)
{
    int64_t next = DENSE_VARS;
    kb_error err = {0};
    const kf_node *f = NULL;
    ck_assert_msg(kf_parse_formula(&g, text, 2, bindings, &next, &f, &err) == KCL_OK, "%s", err.text);
    return f;
}

/* The digits of n, the digit of the last axis fastest. */
static void digits(int n, int rank, const int *size, int *out)
{
    for (int k = rank; k-- > 0; n /= size[k])
        out[k] = n % size[k];
}

static int flat(int rank, const int *size, const int *index)
{
    int n = 0;
    for (int k = 0; k < rank; k++)
        n = n * size[k] + index[k];
    return n;
}

static long double value(const tensor *t, int64_t i, int64_t j, int k)
{
    return d.data[t->var->param[0]][dense_row(&d, t->var, i, j) * t->count + k];
}

static void compare(const char *text, const kf_node *f, int count, long double (*want)(void *, int64_t, int64_t, int),
                    void *user)
{
    ck_assert_msg(f->dim == count, "%s has %d components, not %d", text, f->dim, count);
    long double *got = dense_eval(&d, f);
    for (int64_t at = 0; at < ROWS * COLUMNS; at++)
        for (int k = 0; k < count; k++) {
            const long double x = want(user, at / COLUMNS, at % COLUMNS, k);
            ck_assert_msg(fabs(got[at * count + k] - x) <= 1e-15L * (1 + fabs(x)), "%s, component %d: %Lg, not %Lg",
                          text, k, got[at * count + k], x);
        }
    free(got);
}

typedef struct contraction {
    tensor f, h;
    int count, axes_f[MOST_AXES], axes_h[MOST_AXES];
    int left, origin[2 * MOST_AXES];              /* remaining axes: the axes of f, then MOST_AXES + axes of h */
    int perm[2 * MOST_AXES], size[2 * MOST_AXES]; /* of the result */
} contraction;

/* By the definition: the sum over all indices of the contracted axes. */
static long double contracted(void *user, int64_t i, int64_t j, int k)
{
    const contraction *c = user;
    int index[2 * MOST_AXES], f[MOST_AXES], h[MOST_AXES], inner[MOST_AXES], length = 1, sizes[MOST_AXES];
    long double sum = 0;
    for (int n = 0; n < c->count; n++)
        length *= sizes[n] = c->f.size[c->axes_f[n]];
    digits(k, c->left, c->size, index);
    for (int n = 0; n < c->left; n++)
        *(c->origin[n] < MOST_AXES ? &f[c->origin[n]] : &h[c->origin[n] - MOST_AXES]) = index[c->perm[n]];
    for (int n = 0; n < length; n++) {
        digits(n, c->count, sizes, inner);
        for (int m = 0; m < c->count; m++)
            f[c->axes_f[m]] = h[c->axes_h[m]] = inner[m];
        sum += value(&c->f, i, j, flat(c->f.rank, c->f.size, f)) * value(&c->h, i, j, flat(c->h.rank, c->h.size, h));
    }
    return sum;
}

START_TEST(tensordot_is_the_sum_over_indices)
{
    int with_perm = 0, with_sums = 0;
    for (int n = 0; n < CASES; n++) {
        dense_finish(&d);
        dense_init(&d, &g, ROWS, COLUMNS, (uint64_t)n + 1);
        kf_binding bindings[2];
        contraction c = {.f = random_tensor("f", KF_ROLE_I, NULL, &bindings[0])};
        tensor h = {.rank = 1 + dense_below(&d, 3), .count = 1};
        int order_f[MOST_AXES], order_h[MOST_AXES], kept = 0;
        char text[400] = "TensorDot(f,h";
        c.count = dense_below(&d, KB_MIN(c.f.rank, h.rank) + 1);
        shuffle(c.f.rank, order_f);
        shuffle(h.rank, order_h);
        for (int k = 0; k < h.rank; k++)
            h.size[k] = 1 + dense_below(&d, 3);
        bool summed_f[MOST_AXES] = {false}, summed_h[MOST_AXES] = {false};
        for (int k = 0; k < c.count; k++) {
            c.axes_f[k] = order_f[k];
            c.axes_h[k] = order_h[k];
            summed_f[order_f[k]] = summed_h[order_h[k]] = true;
            h.size[order_h[k]] = c.f.size[order_f[k]];
        }
        for (int k = 0; k < h.rank; k++)
            h.count *= h.size[k];
        h.var = dense_var(&d, KF_ROLE_J, h.count, -2, 2);
        bindings[1] = (kf_binding){"h", h.var};
        c.h = h;
        for (int k = 0; k < c.f.rank; k++)
            if (!summed_f[k])
                c.origin[kept++] = k;
        for (int k = 0; k < h.rank; k++)
            if (!summed_h[k])
                c.origin[kept++] = MOST_AXES + k;
        c.left = kept;
        const bool permuted = dense_below(&d, 2);
        for (int k = 0; k < kept; k++)
            c.perm[k] = k;
        if (permuted)
            shuffle(kept, c.perm);
        int count = 1;
        for (int k = 0; k < kept; k++)
            count *= c.size[c.perm[k]] =
                c.origin[k] < MOST_AXES ? c.f.size[c.origin[k]] : h.size[c.origin[k] - MOST_AXES];
        put_list(text, ",[", c.f.rank, c.f.size);
        put_list(text, n % 2 ? ", [" : ",Ind(", h.rank, h.size);
        put_list(text, ",[", c.count, c.axes_f);
        put_list(text, n % 3 ? ",[" : ",Ind(", c.count, c.axes_h);
        if (permuted)
            put_list(text, ",[", kept, c.perm);
        strcat(text, ")");
        compare(text, parsed(text, bindings), count, contracted, &c);
        with_perm += permuted && kept > 1;
        with_sums += c.count > 0;
    }
    ck_assert_int_gt(with_perm, CASES / 8);
    ck_assert_int_gt(with_sums, CASES / 8);
}
END_TEST

/* Component (k0, k1, ...) is f at k / size of h, times h at the rest. */
static long double kronecker(void *user, int64_t i, int64_t j, int k)
{
    const tensor *t = user;
    int size[MOST_AXES], index[MOST_AXES], f[MOST_AXES], h[MOST_AXES];
    for (int n = 0; n < t[0].rank; n++)
        size[n] = t[0].size[n] * t[1].size[n];
    digits(k, t[0].rank, size, index);
    for (int n = 0; n < t[0].rank; n++) {
        f[n] = index[n] / t[1].size[n];
        h[n] = index[n] % t[1].size[n];
    }
    return value(&t[0], i, j, flat(t[0].rank, t[0].size, f)) * value(&t[1], i, j, flat(t[1].rank, t[1].size, h));
}

START_TEST(kron_is_the_product_of_blocks)
{
    for (int n = 0; n < CASES / 4; n++) {
        dense_finish(&d);
        dense_init(&d, &g, ROWS, COLUMNS, (uint64_t)n + 1);
        kf_binding bindings[2];
        tensor t[2];
        char text[200] = "Kron(f,h";
        t[0] = random_tensor("f", KF_ROLE_J, NULL, &bindings[0]);
        t[1] = random_tensor("h", KF_ROLE_I, &t[0], &bindings[1]);
        put_list(text, ",[", t[0].rank, t[0].size);
        put_list(text, ",[", t[1].rank, t[1].size);
        strcat(text, ")");
        compare(text, parsed(text, bindings), t[0].count * t[1].count, kronecker, t);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *tests = tcase_create("tensor");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, tensordot_is_the_sum_over_indices);
    tcase_add_test(tests, kron_is_the_product_of_blocks);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
