/* SPDX-License-Identifier: MIT */
/*
 * Random formulas of 30 to 60 nodes, of every operator of the table, on a device against the interpreter. Nodes are kept
 * only where they are well-conditioned on the data: small, and changed little by a small change of the arguments. So what
 * a device computes otherwise is an error of its text, and no rounding.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "graph.h"
#include "interp.h"
#include "support.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 35, N = 19, VARS = 6, NODES = 60, MOST_DIM = 12, FORMULAS = 5 };

static const struct {
    const char *name, *alias;
    kf_role role;
    int dim;
} vars[VARS] = {{"x", "x=Vi(3)", KF_ROLE_I, 3}, {"u", "u=Vi(1)", KF_ROLE_I, 1}, {"y", "y=Vj(3)", KF_ROLE_J, 3},
                {"v", "v=Vj(1)", KF_ROLE_J, 1}, {"p", "p=Pm(3)", KF_ROLE_P, 3}, {"q", "q=Pm(1)", KF_ROLE_P, 1}};

static kcl_context *device, *host;
static kf_graph g;
static numbers data[VARS], moved[VARS];
static long uses[KF_OP_COUNT];

static void setup(void)
{
    ck_assert_int_eq(kf_graph_init(&g, NULL), KCL_OK);
}

static void teardown(void)
{
    kf_graph_finish(&g);
}

static void make_data(void)
{
    for (int k = 0; k < VARS; k++) {
        int64_t rows = vars[k].role == KF_ROLE_I ? M : vars[k].role == KF_ROLE_J ? N : 1;
        numbers_make(&data[k], KCL_F32, rows, vars[k].dim, DENSE);
        numbers_make(&moved[k], KCL_F32, rows, vars[k].dim, DENSE);
        numbers_fill(&data[k], 0.3, 0.7);
        for (int64_t i = 0; i < rows; i++)
            for (int c = 0; c < vars[k].dim; c++)
                *numbers_exact(&moved[k], i, c) = *numbers_exact(&data[k], i, c) * (1 + uniform(-1e-5, 1e-5));
    }
}

static void free_data(void)
{
    for (int k = 0; k < VARS; k++) {
        numbers_free(&data[k]);
        numbers_free(&moved[k]);
    }
}

typedef struct range {
    double low, high;
} range;

/* Values of all components at all pairs, [pair][component]; false where they are not finite. */
static bool evaluate(const kf_node *f, const numbers *from, double *values)
{
    kf_interp *interp;
    kf_frame *frame;
    kf_source sources[VARS];
    kb_error err;
    bool finite = true;
    kb_error_clear(&err);
    for (int k = 0; k < VARS; k++)
        sources[k] = (kf_source){from[k].exact.data, KCL_F64, vars[k].dim * (int64_t)sizeof(double), sizeof(double)};
    ck_assert_msg(kf_interp_create(&interp, &g, 1, &f, &err) == KCL_OK, "%s", err.text);
    ck_assert_msg(kf_frame_create(&frame, interp, &err) == KCL_OK, "%s", err.text);
    kf_frame_launch(frame, sources);
    for (int64_t i = 0; i < M; i++) {
        kf_frame_row(frame, i, NULL);
        for (int64_t j = 0, count; j < N; j += count) {
            count = KB_MIN(kf_frame_columns(frame), N - j);
            kf_frame_block(frame, j, (int)count);
            for (int64_t k = 0; k < f->dim; k++) {
                int stride;
                const double *value = kf_frame_value(frame, 0, k, &stride);
                for (int64_t c = 0; c < count; c++) {
                    values[(i * N + j + c) * f->dim + k] = value[c * stride];
                    finite = finite && isfinite(value[c * stride]);
                }
            }
        }
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    return finite;
}

/* Whether f is small and well-conditioned on the data; its range. */
static bool is_tame(const kf_node *f, range *r)
{
    const int64_t count = (int64_t)M * N * f->dim;
    double *values = malloc(2 * (size_t)count * sizeof *values), *other = values + count;
    bool tame = evaluate(f, data, values) && evaluate(f, moved, other);
    *r = (range){INFINITY, -INFINITY};
    for (int64_t n = 0; tame && n < count; n++) {
        r->low = fmin(r->low, values[n]);
        r->high = fmax(r->high, values[n]);
        tame = fabs(values[n]) <= 30 && fabs(values[n] - other[n]) <= 3e-4;
    }
    free(values);
    return tame;
}

/* f, or a function of it with values where the operator is tested. */
static const kf_node *within(const kf_node *f, range r, const kf_op_info *info)
{
    if (r.low >= info->low && r.high <= info->high)
        return f;
    const double middle = 0.5 * (info->low + info->high), half = 0.45 * (info->high - info->low);
    return kf_binary(&g, KF_ADD, kf_num(&g, middle), kf_binary(&g, KF_MULT, kf_num(&g, half), kf_unary(&g, KF_SIN, f)));
}

/* A node of the operator; NULL where the operands do not fit. */
static const kf_node *random_node(kf_op op, const kf_node *const *args, const range *ranges)
{
    const kf_op_info *info = kf_info(op);
    const int64_t dim = args[0]->dim, start = pick((int)dim), length = 1 + pick((int)(dim - start));
    const kf_node *operands[KF_MAX_ARGS];
    switch (op) {
    case KF_SUMT:
        return dim == 1 ? kf_make(&g, op, args, &(int64_t){2 + pick(3)}) : NULL;
    case KF_ELEM:
        return kf_make(&g, op, args, &start);
    case KF_ELEMT:
        return dim == 1 ? kf_make(&g, op, args, (int64_t[]){4, pick(4)}) : NULL;
    case KF_EXTRACT:
        return kf_make(&g, op, args, (int64_t[]){start, length});
    case KF_EXTRACTT:
        return kf_make(&g, op, args, (int64_t[]){start, dim + start + 1});
    case KF_IOTA:
        return kf_binary(&g, KF_MULT, kf_num(&g, 0.125), kf_make(&g, op, args, &(int64_t){3}));
    case KF_ARRANGE: /* backwards, twice */
        return kf_make(&g, op, args, (int64_t[]){2, dim - 1, 2, 0, dim, -1});
    case KF_PLACE: /* every second */
        return kf_make(&g, op, args, (int64_t[]){1, 1, dim, 2, 2 * dim + 1});
    case KF_SUMROWS:
        return kf_make(&g, op, args, &(int64_t){dim % 2 ? dim : dim / 2});
    case KF_INDEX:
        return kf_index(&g, 1, -pick(2), pick(3));
    case KF_LIKE:
        return kf_like(&g, args[0], args[1]);
    case KF_CONST:
        return kf_num(&g, uniform(0.3, 0.7));
    case KF_ZERO:
        return kf_zero(&g, 1 + pick(3));
    case KF_VAR:
    case KF_REDUCE: /* leaves; a sum over j in the end */
    case KF_SOFTDTW: /* no function of numbers */
    case KF_SOFTDTW_GRAD:
        return NULL;
    default:
        break;
    }
    if (info->op_class != KF_CLASS_MAP)
        return kf_make(&g, op, args, NULL);
    int64_t widest = 1;
    for (int c = 0; c < info->arity; c++)
        widest = KB_MAX(widest, args[c]->dim);
    for (int c = 0; c < info->arity; c++) {
        if (args[c]->dim != 1 && args[c]->dim != widest)
            return NULL;
        operands[c] = within(args[c], ranges[c], info);
    }
    return kf_make(&g, op, operands, &(int64_t){info->params ? 1 + pick(2) : 0});
}

/* The nodes of f. */
static size_t size_of(const kf_node *f, bool used)
{
    kf_order order;
    ck_assert_int_eq(kf_order_init(&order, &g, 1, &f, true, &g.error), KCL_OK);
    const size_t size = order.count;
    for (size_t k = 0; used && k < size; k++)
        uses[order.nodes[k]->op]++;
    kf_order_finish(&order);
    return size;
}

/* Rather one that has been used little. */
static kf_op rare_operator(void)
{
    kf_op rarest = (kf_op)pick(KF_OP_COUNT);
    for (int k = 0; k < 2; k++) {
        kf_op other = (kf_op)pick(KF_OP_COUNT);
        rarest = uses[other] < uses[rarest] ? other : rarest;
    }
    return rarest;
}

/* A formula of at most NODES nodes: grown from the variables, the latest nodes are used rather than others. */
static const kf_node *random_formula(range *r)
{
    const kf_node *pool[VARS + NODES];
    range ranges[VARS + NODES];
    int count = 0;
    for (; count < VARS; count++) {
        pool[count] = kf_var(&g, count, vars[count].dim, vars[count].role);
        ranges[count] = (range){0.3, 0.7};
    }
    for (int tries = 0; tries < 300 && count < VARS + NODES; tries++) {
        const kf_node *args[KF_MAX_ARGS];
        range of[KF_MAX_ARGS];
        for (int c = 0; c < KF_MAX_ARGS; c++) {
            int k = pick(3) ? KB_MAX(count - 1 - pick(4), 0) : pick(count);
            args[c] = pool[k];
            of[c] = ranges[k];
        }
        const kf_node *f = random_node(rare_operator(), args, of);
        if (f && f->dim <= MOST_DIM && size_of(f, false) <= NODES && is_tame(f, &ranges[count]))
            pool[count++] = f;
    }
    /* The largest that is of both axes. */
    size_t largest = 0;
    const kf_node *best = NULL;
    for (int k = 0; k < count; k++) {
        const size_t size = size_of(pool[k], false);
        if ((pool[k]->axes & KF_PAIR_AXES) != KF_PAIR_AXES || size < largest)
            continue;
        largest = size;
        best = pool[k];
        *r = ranges[k];
    }
    return best;
}

static const char *variable_name(void *user, const kf_node *var)
{
    (void)user;
    return vars[var->param[0]].name;
}

START_TEST(test_random_formulas)
{
    static const char *const schedules[] = {"", "lanes", "rows", "split", "columns"};
    const char *aliases[VARS], *schedule = schedules[_i % 5];
    const kcl_dtype dtype = _i / 5 % 2 ? KCL_F32 : KCL_F64;
    range ranges[FORMULAS];
    int dims[FORMULAS];
    kb_str text;
    kb_str_init(&text, NULL);
    seed_random(test_seed() * 1000 + (uint64_t)_i);
    make_data();
    for (int k = 0; k < VARS; k++)
        aliases[k] = vars[k].alias;
    for (int n = 0; n < FORMULAS;) {
        const kf_node *f = random_formula(&ranges[n]);
        if (!f || size_of(f, false) < NODES / 2)
            continue;
        size_of(f, true);
        dims[n] = f->dim;
        kb_str_put(&text, n ? ";Sum_Reduction(" : "Sum_Reduction(");
        kf_print(&text, f, variable_name, NULL, 0);
        kb_str_putf(&text, ",%d)", _i % 2);
        n++;
    }
    ck_assert(!text.failed);
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, kb_str_text(&text), VARS, aliases,
                                      &(kcl_operator_params){.schedule = schedule}) == KCL_OK,
                  "%s", kcl_operator_error(op));
    numbers got[FORMULAS], want[FORMULAS], ins[VARS];
    for (int k = 0; k < VARS; k++) {
        numbers_make(&ins[k], dtype, data[k].rows, vars[k].dim, DENSE);
        for (int64_t i = 0; i < data[k].rows; i++)
            for (int c = 0; c < vars[k].dim; c++)
                numbers_set(&ins[k], i, c, *numbers_exact(&data[k], i, c));
    }
    outputs_make(op, dtype, M, N, DENSE, got);
    outputs_make(op, KCL_F64, M, N, DENSE, want);
    ck_assert_msg(apply(op, device, got, ins, false) == KCL_OK, "%s: %s", kb_str_text(&text),
                  kcl_context_error(device));
    ck_assert_msg(apply(op, host, want, ins, true) == KCL_OK, "%s: %s", kb_str_text(&text), kcl_context_error(host));
    for (int n = 0; n < FORMULAS; n++) {
        /* An argument's change of 1e-5 makes at most 3e-4; roundings are 60, of 1e-7 or 1e-16 of values up to 30. */
        const double terms = _i % 2 ? M : N, size = 1 + fmax(fabs(ranges[n].low), fabs(ranges[n].high));
        const double tolerance = terms * size * (dtype == KCL_F32 ? 1e-3 : 1e-11);
        ck_assert_int_eq(got[n].dim, dims[n]);
        for (int64_t i = 0; i < got[n].rows; i++)
            for (int c = 0; c < dims[n]; c++)
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
    free_data();
}
END_TEST

/* Of all rounds together. */
START_TEST(test_most_operators_occur)
{
    int missing = 0;
    kb_str names;
    kb_str_init(&names, NULL);
    for (int op = 0; op < KF_OP_COUNT; op++) {
        if (uses[op] || op == KF_REDUCE)
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
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    device = open_cpu_or_skip();
    if (!device)
        return 77;
    if (kcl_context_create(&host, &(kcl_context_params){.device = "host"}) < 0)
        return 1;
    announce_seed(argv[0]);
    const test_entry tests[] = {{test_random_formulas, long_tests() ? 400 : 10}, {test_most_operators_occur, 0}};
    int failed = run_entries("random formulas on a device", tests, KB_COUNT(tests), setup, teardown);
    kcl_context_stats stats;
    kcl_context_get_stats(device, &stats);
    printf("%llu kernels built in %.1f s\n", (unsigned long long)stats.programs_built, stats.build_seconds);
    kcl_context_destroy(&device);
    kcl_context_destroy(&host);
    return failed;
}
