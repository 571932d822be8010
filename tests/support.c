/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Running ----------------------------------------------------------------------------------------------------- */

int run_entries(const char *name, const test_entry *tests, size_t count, void (*setup)(void), void (*teardown)(void))
{
    Suite *suite = suite_create(name);
    unsigned part = 0, parts = 1;
    const char *wanted = getenv("KEOPSCL_TEST_PART");
    if (wanted && (sscanf(wanted, "%u/%u", &part, &parts) != 2 || part >= parts))
        return 1;
    for (size_t k = part; k < count; k += parts) { /* each a case of its own: CK_RUN_CASE=NAME runs one */
        TCase *tc = tcase_create(tests[k].test->name);
        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_set_timeout(tc, 0);
        if (tests[k].rounds)
            tcase_add_loop_test(tc, tests[k].test, 0, tests[k].rounds);
        else
            tcase_add_test(tc, tests[k].test);
        suite_add_tcase(suite, tc);
    }
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

const char *test_device(void)
{
    const char *other = getenv("KEOPSCL_TEST_DEVICE");
    return other && *other ? other : "cpu";
}

kcl_context *open_cpu_or_skip(void)
{
    kcl_context *c;
    if (kcl_context_create(&c, &(kcl_context_params){.device = test_device()}) == KCL_OK)
        return c;
    printf("SKIPPED: %s\n", kcl_context_error(c));
    kcl_context_destroy(&c);
    return NULL;
}

int run_on_device(const char *program, const char *name, const test_entry *tests, size_t count, void (*setup)(void),
                  void (*teardown)(void), kcl_context **device, kcl_context **host)
{
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    *device = open_cpu_or_skip();
    if (!*device)
        return 77;
    if (kcl_context_create(host, &(kcl_context_params){.device = "host"}) < 0)
        return 1;
    announce_seed(program);
    int failed = run_entries(name, tests, count, setup, teardown);
    kcl_context_stats stats;
    kcl_context_get_stats(*device, &stats);
    printf("%llu kernels built in %.1f s, %llu loaded\n", (unsigned long long)stats.programs_built, stats.build_seconds,
           (unsigned long long)stats.programs_loaded);
    kcl_context_destroy(device);
    kcl_context_destroy(host);
    return failed;
}

/* The suite that runs; Check's fixtures take no arguments. */
static here_or_there running;

static void begin_here_or_there(void)
{
    kcl_context *host = NULL;
    if (!*running.on_device || running.host)
        ck_assert_int_eq(kcl_context_create(&host, &(kcl_context_params){.device = "host"}), KCL_OK);
    *running.context = *running.on_device ? open_cpu_or_skip() : host;
    ck_assert_ptr_nonnull(*running.context);
    if (running.host)
        *running.host = host;
    seed_random(test_seed());
    if (running.begin)
        running.begin();
}

static void end_here_or_there(void)
{
    if (running.end)
        running.end();
    if (running.host && *running.host != *running.context)
        kcl_context_destroy(running.host);
    kcl_context_destroy(running.context);
}

int run_here_or_there(int argc, char **argv, const here_or_there *suite)
{
    running = *suite;
    *suite->on_device = argc > 1 && strcmp(argv[1], "device") == 0;
    announce_seed(argv[0]);
    if (*suite->on_device) {
        kcl_context *there = open_cpu_or_skip();
        if (!there)
            return 77;
        kcl_context_destroy(&there);
    }
    const bool others = *suite->on_device && suite->device_tests;
    return run_entries(suite->name, others ? suite->device_tests : suite->tests,
                       others ? suite->device_count : suite->count, begin_here_or_there, end_here_or_there);
}

bool long_tests(void)
{
    const char *value = getenv("KEOPSCL_LONG_TESTS");
    return value && strcmp(value, "1") == 0;
}

uint64_t test_seed(void)
{
    const char *value = getenv("KEOPSCL_TEST_SEED");
    return value && *value ? strtoull(value, NULL, 10) : 1;
}

static uint64_t state = 1;

void seed_random(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
}

void announce_seed(const char *program)
{
    printf("repeat with: KEOPSCL_TEST_SEED=%llu %s%s\n", (unsigned long long)test_seed(),
           long_tests() ? "KEOPSCL_LONG_TESTS=1 " : "", program);
    fflush(stdout);
}

static uint64_t next_random(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double uniform(double low, double high)
{
    return low + (high - low) * ((double)(next_random() >> 11) * 0x1p-53);
}

int pick(int count)
{
    return (int)(next_random() % (uint64_t)count);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

void contains(const char *text, const char *const *parts)
{
    for (; *parts; parts++)
        ck_assert_msg(strstr(text, *parts), "\"%.3000s\" does not contain \"%s\"", text, *parts);
}

void collect(void *user, const char *text, size_t length)
{
    collected *c = user;
    ck_assert_uint_lt(c->length + length, sizeof c->text);
    memcpy(c->text + c->length, text, length);
    c->text[c->length += length] = 0;
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

static const unsigned char gap = 0xa5;

void numbers_make(numbers *n, kcl_dtype dtype, int64_t rows, int dim, layout how)
{
    int64_t size = (int64_t)kb_dtype_size(dtype);
    int64_t step = how == COMPONENTS_APART ? 2 * size : how == TRANSPOSED ? rows * size : size;
    int64_t row = how == TRANSPOSED ? size : dim * step + (how == ROWS_APART ? 3 * size : 0);
    *n = (numbers){.rows = rows, .dim = dim, .bytes = (size_t)(KB_MAX(rows, 1) * (dim * step + row))};
    n->memory = malloc(n->bytes);
    memset(n->memory, gap, n->bytes);
    n->array = (kcl_array){.data = n->memory, .dtype = dtype, .ndim = 2, .shape = {rows, dim}, .stride = {row, step}};
    if (how == ROWS_BACKWARDS && rows) {
        n->array.data = (char *)n->memory + (rows - 1) * row;
        n->array.stride[0] = -row;
    }
    n->exact = kcl_array_f64(calloc((size_t)(rows * dim) + 1, sizeof(double)), 2, (int64_t[]){rows, dim});
}

void numbers_free(numbers *n)
{
    free(n->memory);
    free(n->exact.data);
}

static void *at(const numbers *n, int64_t row, int component)
{
    return (char *)n->array.data + row * n->array.stride[0] + component * n->array.stride[1];
}

double *numbers_exact(const numbers *n, int64_t row, int component)
{
    return (double *)n->exact.data + row * n->dim + component;
}

void numbers_set(numbers *n, int64_t row, int component, double value)
{
    float single = (float)value;
    if (n->array.dtype == KCL_F32)
        memcpy(at(n, row, component), &single, sizeof single);
    else
        memcpy(at(n, row, component), &value, sizeof value);
    *numbers_exact(n, row, component) = n->array.dtype == KCL_F32 ? (double)single : value;
}

double numbers_get(const numbers *n, int64_t row, int component)
{
    float single;
    double value;
    int64_t whole;
    if (n->array.dtype == KCL_I64) {
        memcpy(&whole, at(n, row, component), sizeof whole);
        return (double)whole;
    }
    if (n->array.dtype == KCL_F32) {
        memcpy(&single, at(n, row, component), sizeof single);
        return (double)single;
    }
    memcpy(&value, at(n, row, component), sizeof value);
    return value;
}

void numbers_fill(numbers *n, double low, double high)
{
    for (int64_t i = 0; i < n->rows; i++)
        for (int k = 0; k < n->dim; k++)
            numbers_set(n, i, k, uniform(low, high));
}

void numbers_check_gaps(const numbers *n)
{
    unsigned char *used = calloc(n->bytes, 1);
    for (int64_t i = 0; i < n->rows; i++)
        for (int k = 0; k < n->dim; k++)
            memset(used + ((char *)at(n, i, k) - (char *)n->memory), 1, kb_dtype_size(n->array.dtype));
    size_t k = 0; /* every ck_assert is a system call */
    while (k < n->bytes && (used[k] || ((unsigned char *)n->memory)[k] == gap))
        k++;
    ck_assert_msg(k == n->bytes, "byte %zu outside the array was written", k);
    free(used);
}

/* ---- Device against interpreter ---------------------------------------------------------------------------------- */

void subject_make(subject *s, const char *formula, int alias_count, const char *const *aliases, const char *derive,
                  const char *schedule)
{
    if (s->low == s->high) {
        s->low = -1;
        s->high = 1;
    }
    snprintf(s->text, sizeof s->text, "%s, derived by \"%s\", schedule \"%s\"", formula, derive, schedule);
    kcl_status status =
        kcl_operator_create(&s->op, formula, alias_count, aliases,
                            &(kcl_operator_params){.schedule = schedule, .form = s->form, .math = s->math});
    ck_assert_msg(status == KCL_OK, "%s: %s", s->text, kcl_operator_error(s->op));
    for (; *derive; derive++) {
        kcl_operator *from = s->op;
        status = kcl_operator_grad(&s->op, from, (char[]){*derive, 0});
        ck_assert_msg(status == KCL_OK, "%s: %s", s->text, kcl_operator_error(s->op));
        kcl_operator_destroy(&from);
    }
    status = kcl_operator_magnitude(&s->magnitude, s->op);
    ck_assert_msg(status == KCL_OK, "%s: %s", s->text, kcl_operator_error(s->magnitude));
}

void subject_free(subject *s)
{
    kcl_operator_destroy(&s->op);
    kcl_operator_destroy(&s->magnitude);
}

static int64_t rows_of(kcl_role role, int64_t m, int64_t n)
{
    return role == KCL_ROLE_I ? m : role == KCL_ROLE_J ? n : 1;
}

void arguments_make(const subject *s, kcl_dtype dtype, int64_t m, int64_t n, numbers *ins)
{
    ck_assert_int_le(kcl_operator_input_count(s->op), MAX_INPUTS);
    for (int k = 0; k < kcl_operator_input_count(s->op); k++) {
        kcl_slot_info info;
        ck_assert_int_eq(kcl_operator_input(s->op, k, &info), KCL_OK);
        numbers_make(&ins[k], dtype, rows_of(info.role, m, n), info.dim, s->in);
        double shift = info.role != KCL_ROLE_PARAMETER && info.dim > 1 ? s->offset : 0;
        if (info.role == KCL_ROLE_PARAMETER && info.dim == 1)
            numbers_fill(&ins[k], 0.3, 1);
        else
            numbers_fill(&ins[k], s->low + shift, s->high + shift);
        for (int64_t i = 0; s->lattice > 0 && i < ins[k].rows; i++)
            for (int c = 0; c < ins[k].dim; c++)
                numbers_set(&ins[k], i, c, s->lattice * round(*numbers_exact(&ins[k], i, c) / s->lattice));
    }
}

void arguments_free(const subject *s, numbers *ins)
{
    for (int k = 0; k < kcl_operator_input_count(s->op); k++)
        numbers_free(&ins[k]);
}

void outputs_make(const kcl_operator *op, kcl_dtype dtype, int64_t m, int64_t n, layout how, numbers *outs)
{
    ck_assert_int_le(kcl_operator_output_count(op), 64);
    for (int k = 0; k < kcl_operator_output_count(op); k++) {
        kcl_slot_info info;
        ck_assert_int_eq(kcl_operator_output(op, k, &info), KCL_OK);
        numbers_make(&outs[k], info.dtype ? info.dtype : dtype, rows_of(info.role, m, n), info.dim, how);
    }
}

void outputs_free(const kcl_operator *op, numbers *outs)
{
    for (int k = 0; k < kcl_operator_output_count(op); k++)
        numbers_free(&outs[k]);
}

kcl_status apply(const kcl_operator *op, kcl_context *context, numbers *outs, numbers *ins, bool exact)
{
    const kcl_array *out[64], *in[MAX_INPUTS];
    int out_count = kcl_operator_output_count(op), in_count = kcl_operator_input_count(op);
    for (int k = 0; k < out_count; k++)
        out[k] = &outs[k].array;
    for (int k = 0; k < in_count; k++)
        in[k] = exact ? &ins[k].exact : &ins[k].array;
    return kcl_operator_apply(op, context, out, out_count, in, in_count);
}

static void compare(const subject *s, kcl_dtype dtype, int64_t m, int64_t n, int output, const numbers *got,
                    const numbers *want, const numbers *scale)
{
    double tolerance = s->tolerance ? s->tolerance : dtype == KCL_F32 ? 1e-5 : 1e-12;
    double smallest = dtype == KCL_F32 ? FLT_MIN : DBL_MIN, most = 0;
    for (int64_t i = 0; i < want->rows && s->scaled_by_rows; i++)
        for (int k = 0; k < want->dim; k++)
            most = fmax(most, numbers_get(scale, i, k));
    for (int64_t i = 0; i < want->rows; i++) {
        for (int k = 0; k < want->dim; k++) {
            const bool index = got->array.dtype == KCL_I64; /* one scale for all K of them, and none is needed */
            double a = numbers_get(got, i, k), b = numbers_get(want, i, k), by = index ? 0 : numbers_get(scale, i, k);
            bool same = index      ? a == b
                        : isnan(b) ? isnan(a)
                        : isinf(b) ? a == b
                                   : fabs(a - b) <= tolerance * KB_MAX(by, most) + smallest * (double)(m + n + 1);
            if (!same)
                ck_abort_msg("%s, %s, M=%lld, N=%lld, seed %llu: output %d at (%lld, %d) is %.9g on the device, %.9g "
                             "by the interpreter, scale %.3g",
                             s->text, kb_dtype_name(dtype), (long long)m, (long long)n, (unsigned long long)test_seed(),
                             output, (long long)i, k, a, b, by);
        }
    }
}

void subject_check(const subject *s, kcl_context *device, kcl_context *host, kcl_dtype dtype, int64_t m, int64_t n)
{
    numbers ins[MAX_INPUTS], got[64], want[64], scale[64];
    arguments_make(s, dtype, m, n, ins);
    outputs_make(s->op, dtype, m, n, s->out, got);
    outputs_make(s->op, KCL_F64, m, n, DENSE, want);
    outputs_make(s->magnitude, KCL_F64, m, n, DENSE, scale);
    ck_assert_msg(apply(s->op, device, got, ins, false) == KCL_OK, "%s, M=%lld, N=%lld: %s", s->text, (long long)m,
                  (long long)n, kcl_context_error(device));
    ck_assert_msg(apply(s->op, host, want, ins, true) == KCL_OK, "%s: %s", s->text, kcl_context_error(host));
    ck_assert_msg(apply(s->magnitude, host, scale, ins, true) == KCL_OK, "%s: %s", s->text, kcl_context_error(host));
    for (int k = 0; k < kcl_operator_output_count(s->op); k++) {
        compare(s, dtype, m, n, k, &got[k], &want[k], &scale[k]);
        numbers_check_gaps(&got[k]);
    }
    outputs_free(s->op, got);
    outputs_free(s->op, want);
    outputs_free(s->op, scale);
    arguments_free(s, ins);
}
