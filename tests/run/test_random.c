/* SPDX-License-Identifier: MIT */
/*
 * Random formulas of 12 to 60 nodes, of every operator of the table, on a device against the interpreter. Nodes are kept
 * only where they are well-conditioned on the data: small, and changed little by a small change of the arguments. So what
 * a device computes otherwise is an error of its text, and no rounding.
 */
#include "formula/dense.h"
#include "support.h"
#include "text.h"

enum { M = 35, N = 19, VARS = 6, STEPS = 45, LEAST_NODES = 12, MOST_NODES = 60, FORMULAS = 5 };

static const struct {
    const char *name, *alias;
    kf_role role;
    int dim;
} vars[VARS] = {{"x", "x=Vi(3)", KF_ROLE_I, 3}, {"u", "u=Vi(1)", KF_ROLE_I, 1}, {"y", "y=Vj(3)", KF_ROLE_J, 3},
                {"v", "v=Vj(1)", KF_ROLE_J, 1}, {"p", "p=Pm(3)", KF_ROLE_P, 3}, {"q", "q=Pm(1)", KF_ROLE_P, 1}};

static kcl_context *device, *host;
static long uses[KF_OP_COUNT];

static int64_t numbers_of(int k)
{
    return (vars[k].role == KF_ROLE_I ? M : vars[k].role == KF_ROLE_J ? N : 1) * vars[k].dim;
}

/* Values that float32 has. */
static void plant(garden *w)
{
    for (int k = 0; k < VARS; k++) {
        w->pool[w->count++] = dense_var(w->d, vars[k].role, vars[k].dim, 0.3, 2);
        for (int64_t n = 0; n < numbers_of(k); n++)
            w->d->data[k][n] = (double)(float)w->d->data[k][n];
    }
}

/* Multiplies every number by 1 + 1e-5 s, s from -1 to 1. */
static void shake(dense *d)
{
    for (int k = 0; k < VARS; k++)
        for (int64_t n = 0; n < numbers_of(k); n++)
            d->data[k][n] *= 1 + dense_draw(d, -1e-5, 1e-5);
}

/* Whether f is small and changes little; *size: its largest value. */
static bool is_tame(dense *d, const kf_node *f, double *size)
{
    const int64_t count = (int64_t)M * N * f->dim;
    double *values = dense_interpret(d, f), *kept[VARS];
    for (int k = 0; k < VARS; k++) {
        kept[k] = malloc((size_t)numbers_of(k) * sizeof(double));
        memcpy(kept[k], d->data[k], (size_t)numbers_of(k) * sizeof(double));
    }
    shake(d);
    double *other = dense_interpret(d, f);
    for (int k = 0; k < VARS; k++) {
        memcpy(d->data[k], kept[k], (size_t)numbers_of(k) * sizeof(double));
        free(kept[k]);
    }
    bool tame = true;
    *size = 0;
    for (int64_t n = 0; tame && n < count; n++) {
        *size = fmax(*size, fabs(values[n]));
        tame = fabs(values[n]) <= 100 && fabs(values[n] - other[n]) <= 3e-4;
    }
    free(values);
    free(other);
    return tame;
}

/* A formula of both axes; NULL where none came out. */
static const kf_node *grown(garden *w, double *size)
{
    const kf_node *f = garden_grow(w, STEPS);
    const size_t nodes = node_count(w->d->g, f);
    if ((f->axes & KF_PAIR_AXES) != KF_PAIR_AXES || nodes < LEAST_NODES || nodes > MOST_NODES ||
        !is_tame(w->d, f, size))
        return NULL;
    return f;
}

static void count_uses(const kf_graph *g, const kf_node *f)
{
    kf_order order;
    kb_error err = {0};
    ck_assert_int_eq(kf_order_init(&order, g, 1, &f, true, &err), KCL_OK);
    for (size_t k = 0; k < order.count; k++)
        uses[order.nodes[k]->op]++;
    kf_order_finish(&order);
}

static const char *variable_name(void *user, const kf_node *var)
{
    (void)user;
    return vars[var->param[0]].name;
}

START_TEST(test_random_formulas)
{
    static const char *const schedules[] = {"", "lanes", "rows", "split", "columns"};
    static const kcl_dtype dtypes[] = {KCL_F64, KCL_F32};
    const char *aliases[VARS], *schedule = schedules[_i % 5];
    const kcl_dtype dtype = dtypes[_i / 5 % 2];
    const uint64_t seed = test_seed() * 1000 + (uint64_t)_i;
    double sizes[FORMULAS];
    numbers got[FORMULAS], want[FORMULAS], ins[VARS];
    dense d;
    kf_graph g;
    kb_str text;
    kb_str_init(&text, NULL);
    dense_init(&d, &g, M, N, seed);
    garden w;
    garden_init(&w, &d, VARS + STEPS, false);
    plant(&w);
    for (int n = 0; n < FORMULAS;) {
        const kf_node *f = grown(&w, &sizes[n]);
        w.count = VARS;
        if (!f)
            continue;
        count_uses(&g, f);
        kb_str_put(&text, n++ ? ";Sum_Reduction(" : "Sum_Reduction(");
        kf_print(&text, f, variable_name, NULL, 0);
        kb_str_putf(&text, ",%d)", _i % 2);
    }
    ck_assert(!text.failed);
    for (int k = 0; k < VARS; k++) {
        aliases[k] = vars[k].alias;
        numbers_make(&ins[k], dtype, numbers_of(k) / vars[k].dim, vars[k].dim, DENSE);
        for (int64_t n = 0; n < numbers_of(k); n++)
            numbers_set(&ins[k], n / vars[k].dim, (int)(n % vars[k].dim), d.data[k][n]);
    }
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, kb_str_text(&text), VARS, aliases,
                                      &(kcl_operator_params){.schedule = schedule}) == KCL_OK,
                  "%s", kcl_operator_error(op));
    outputs_make(op, dtype, M, N, DENSE, got);
    outputs_make(op, KCL_F64, M, N, DENSE, want);
    ck_assert_msg(apply(op, device, got, ins, false) == KCL_OK, "%s: %s", kb_str_text(&text),
                  kcl_context_error(device));
    ck_assert_msg(apply(op, host, want, ins, true) == KCL_OK, "%s: %s", kb_str_text(&text), kcl_context_error(host));
    for (int n = 0; n < FORMULAS; n++) {
        /* A change of 1e-5 makes 3e-4 at most; the roundings of 60 nodes are 1e-7 or 1e-16 of values up to 1e3 each. */
        const double terms = _i % 2 ? M : N, tolerance = terms * (1 + sizes[n]) * (dtype == KCL_F32 ? 2e-3 : 1e-11);
        for (int64_t i = 0; i < got[n].rows; i++)
            for (int c = 0; c < got[n].dim; c++)
                ck_assert_msg(
                    fabs(numbers_get(&got[n], i, c) - numbers_get(&want[n], i, c)) <= tolerance,
                    "seed %llu, round %d, schedule \"%s\", %s: result %d at (%lld, %d) is %.9g on the device, %.9g by "
                    "the interpreter: %.8000s",
                    (unsigned long long)test_seed(), _i, schedule, kb_dtype_name(dtype), n, (long long)i, c,
                    numbers_get(&got[n], i, c), numbers_get(&want[n], i, c), kb_str_text(&text));
    }
    outputs_free(op, got);
    outputs_free(op, want);
    for (int k = 0; k < VARS; k++)
        numbers_free(&ins[k]);
    kcl_operator_destroy(&op);
    kb_str_finish(&text);
    garden_finish(&w);
    dense_finish(&d);
}
END_TEST

/* Of all rounds together. */
START_TEST(test_most_operators_occur)
{
    int missing = 0;
    kb_str names;
    kb_str_init(&names, NULL);
    for (int op = 0; op < KF_OP_COUNT; op++) {
        if (uses[op] || op == KF_REDUCE || kf_info((kf_op)op)->op_class == KF_CLASS_CALL)
            continue;
        kb_str_putf(&names, "%s%s", missing++ ? ", " : "", kf_info((kf_op)op)->name);
    }
    ck_assert_msg(10 * missing <= KF_OP_COUNT, "none of %s in the random formulas", kb_str_text(&names));
    kb_str_finish(&names);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const test_entry tests[] = {{test_random_formulas, long_tests() ? 400 : 10}, {test_most_operators_occur, 0}};
    return run_on_device(argv[0], "random formulas on a device", tests, KB_COUNT(tests), NULL, NULL, &device, &host);
}
