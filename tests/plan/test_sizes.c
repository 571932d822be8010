/* SPDX-License-Identifier: MIT */
/* Blocks, vectors and lists of plans: what registers and private memory hold. */
#include "fixture.h"

START_TEST(blocks_fit_the_registers)
{
    static const int registers[] = {32, 16};
    for (size_t n = 0; n < KB_COUNT(registers); n++) {
        caps = cpu_caps(registers[n] / 2, registers[n]);
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_int_eq(plan->lanes, registers[n] / 2);
        ck_assert_int_eq(plan->stream, registers[n] / 2);
        ck_assert_int_eq(plan->tile % plan->stream, 0);
        kp_plan_destroy(&plan);
        plan = plan_of(&s.sweep, &caps, KCL_F64, KP_ROWS);
        ck_assert_int_eq(plan->lanes, registers[n] / 4);
        kp_plan_destroy(&plan);
    }
    /* A long formula is not written out sixteen times. */
    char text[4000] = "Exp(-g*SqDist(x,y))";
    for (int k = 1; k < 60; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "+Sin(b*(%d*SqDist(x,y)+%d))", k, k);
    char part[2048];
    snprintf(part, sizeof part, "%.*s", (int)sizeof part - 1, text);
    caps = cpu_caps(16, 32);
    use(KF_AXIS_J, gauss_variables, part, "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_int_eq(plan->stream, 1);
    kp_plan_destroy(&plan);
}
END_TEST

/*
 * On GPUs a work-item has some 255 registers, for the vectors of its row, the sums of a tile, and the totals of the tiles
 * with their rounding errors.
 */
START_TEST(gpus_keep_in_registers_what_fits)
{
    static const struct {
        const char *variables, *term;
        kcl_dtype dtype;
        kp_loops loops;
        int stream;
    } cases[] = {
        {"x:i3 y:j3 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b", KCL_F32, KP_LOOPS_UNROLLED, 8},
        {"x:i3 y:j3 b:j64 g:p1", "Exp(-g*SqDist(x,y))*b", KCL_F32, KP_LOOPS_UNROLLED, 2},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b", KCL_F32, KP_LOOPS_UNROLLED, 1},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b*(x-y)", KCL_F32, KP_LOOPS_UNROLLED, 2},
        {"x:i64 y:j64 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b*(x-y)", KCL_F32, KP_LOOPS_WIDE, 1},
        {"x:i64 y:j64 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b*(x-y)", KCL_F64, KP_LOOPS_SHORT, 16},
        {"x:i100 y:j100 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b*(x-y)", KCL_F32, KP_LOOPS_SHORT, 16},
        {"x:i10 y:j10 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b", KCL_F32, KP_LOOPS_UNROLLED, 4},
        {"x:i4 y:j4", "Cos(x*y)*y", KCL_F32, KP_LOOPS_UNROLLED, 1},
        {"x:i100 y:j100", "Sin(x-y)*y", KCL_F32, KP_LOOPS_SHORT, 2},
        {"x:i100 y:j100", "Log(2+x*y)*Exp(x-y)*y", KCL_F32, KP_LOOPS_SHORT, 16},
        /* 4 cosines, which a loop over 32 components computes again and again */
        {"x:i4 y:j4", "Arrange(Cos(x*y),2,0,8,0,4,1)*Arrange(y,2,0,4,1,8,0)", KCL_F32, KP_LOOPS_SHORT, 1},
    };
    const kp_caps gpu = *kp_caps_profile("gpu");
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        use(KF_AXIS_J, cases[n].variables, cases[n].term, "r0");
        kp_plan *plan = plan_of(&s.sweep, &gpu, cases[n].dtype, KP_ROWS);
        ck_assert_msg(plan->loops == cases[n].loops && plan->stream == cases[n].stream, "case %zu: loops %d, stream %d",
                      n, (int)plan->loops, plan->stream);
        kp_plan_destroy(&plan);
    }
    /* Without columns compilers may do as they like with loops, but not where the text of all loops is long. */
    for (int count = 1; count <= 60; count += 59) {
        kb_str text;
        kb_str_init(&text, NULL);
        for (int k = 1; k <= count; k++)
            kb_str_putf(&text, "%sAtan(Sqrt(x+%d))", k > 1 ? "+" : "", k);
        use(0, "x:i100", "", kb_str_text(&text));
        kp_plan *plan = plan_of(&s.sweep, &gpu, KCL_F32, KP_MAP);
        ck_assert_int_eq(plan->loops, count > 1 ? KP_LOOPS_SHORT : KP_LOOPS_LEFT);
        kp_plan_destroy(&plan);
        kb_str_finish(&text);
    }
    /* Each sine has a long text: a work-item has fewer rows then. */
    static const struct {
        const char *term;
        int lanes;
    } rows[] = {{"Sin(x-y)", 4},
                {"Sin(x-y)+Cos(x+y)*Tan(2*x-y)", 2},
                {"Sin(x-y)*Cos(x+y)+Sin(x*y)*Cos(2*x-y)+Cos(x*y)*Sin(3*x)*Tan(x+5*y)*Tan(x+6*y)*Tan(x+7*y)", 1}};
    for (size_t n = 0; n < KB_COUNT(rows); n++) {
        use(KF_AXIS_J, "x:i1 y:j1", rows[n].term, "r0");
        kp_plan *plan = plan_of(&s.sweep, &gpu, KCL_F32, KP_ROWS);
        ck_assert_msg(plan->lanes == rows[n].lanes, "%s: %d rows", rows[n].term, plan->lanes);
        kp_plan_destroy(&plan);
    }
}
END_TEST

/* Returns the bytes of the arrays of cl/reduce.cl for a sum of `dim` components. */
static size_t state_bytes(const kp_plan *plan, int dim)
{
    size_t states = plan->shape == KP_COLUMNS ? (size_t)plan->stream : 1;
    return (size_t)dim * (size_t)plan->lanes * kb_dtype_size(plan->dtype) * (3 * states + (plan->shape == KP_ROWS));
}

START_TEST(long_vectors_fit_private_memory_or_are_refused)
{
    static const int dims[] = {1, 100, 1000, 3000, 20000, 60000};
    static const kcl_dtype types[] = {KCL_F32, KCL_F64};
    for (size_t n = 0; n < KB_COUNT(dims); n++) {
        char variables[64], terms[64];
        snprintf(variables, sizeof variables, "x:i3 y:j3 b:j%d g:p1", dims[n]);
        snprintf(terms, sizeof terms, "%s", gauss_term);
        for (int shape = KP_ROWS; shape < KP_SHAPE_COUNT; shape++) {
            use(shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, variables, terms, "r0");
            for (size_t t = 0; t < KB_COUNT(types); t++) {
                kp_plan *plan;
                kcl_status status = kp_plan_create(
                    &plan, &(kp_request){&s.sweep, types[t], &caps, {.shape = (kp_shape)shape}, NULL, {0}}, &err);
                if (dims[n] <= 20000)
                    ck_assert_msg(status == KCL_OK, "dimension %d, shape %d: %s", dims[n], shape, err.text);
                if (dims[n] <= 1000)
                    ck_assert_int_eq(plan->lanes, types[t] == KCL_F32 ? 16 : 8);
                if (status == KCL_OK) {
                    ck_assert_uint_le(state_bytes(plan, dims[n]), caps.private_memory);
                } else {
                    ck_assert_int_eq(status, KCL_ERROR_UNSUPPORTED);
                    ck_assert_uint_gt((size_t)dims[n] * kb_dtype_size(types[t]) * 3, caps.private_memory / 2);
                    ck_assert_ptr_nonnull(strstr(err.text, "1048576"));
                }
                kp_plan_destroy(&plan);
            }
        }
    }
    /* Row vectors stay in global memory if private memory is full. Short vectors are kept first. */
    use(KF_AXIS_J, "x:i100000 u:i3 y:j100000 v:j3", "Exp(-SqDist(x,y)-SqDist(u,v))", "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert(!plan->private[0] && plan->private[1]);
    kp_plan_destroy(&plan);
    caps.private_memory = 400; /* a state of 256 bytes, no room for 3 vectors of 64 */
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert(!plan->private[0] && !plan->private[1] && plan->lanes == 16);
    kp_plan_destroy(&plan);
    /* Vectors that are computed once per row take memory too. */
    caps = cpu_caps(16, 32);
    use(KF_AXIS_J, "x:i300000 y:j300000", "SqDist(Sin(x),y)", "r0");
    ck_assert_int_eq(
        kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS}, NULL, {0}}, &err),
        KCL_ERROR_UNSUPPORTED);
}
END_TEST

/* With K the memory of lists grows and vectors narrow, until the plan is refused. Columns stay in few parts. */
START_TEST(lists_of_k_values)
{
    static const struct {
        const char *terms;
        kp_shape shape;
        int lanes; /* 0: refused */
    } cases[] = {
        {"ArgKMin10:SqDist(x,y)", KP_ROWS, 16},    {"ArgKMin64:SqDist(x,y)", KP_ROWS_SPLIT, 16},
        {"KMin64:SqDist(x,y)", KP_COLUMNS, 16},    {"ArgKMin4000:SqDist(x,y)", KP_ROWS, 4},
        {"ArgKMin100000:SqDist(x,y)", KP_ROWS, 0}, {"ArgKMin10:SqDist(x,y)", KP_ROWS_BOTH, 16},
    };
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        sweep_of own;
        kp_plan *plan = NULL;
        kb_error err;
        kb_error_clear(&err);
        kp_caps caps = cpu_caps(16, 32);
        sweep_init(&own, NULL, cases[k].shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, "x:i3 y:j3", cases[k].terms,
                   "r0");
        kp_choice choice = {.schedule = KP_BY_LANES, .shape = cases[k].shape};
        kcl_status status = kp_plan_create(
            &plan, &(kp_request){.sweep = &own.sweep, .dtype = KCL_F32, .caps = &caps, .choice = choice}, &err);
        if (!cases[k].lanes) {
            ck_assert_int_eq(status, KCL_ERROR_UNSUPPORTED);
            ck_assert_msg(strstr(err.text, "lists of K values") != NULL, "%s", err.text);
        } else {
            ck_assert_msg(status == KCL_OK, "%s", err.text);
            ck_assert_msg(plan->lanes == cases[k].lanes, "%s: %d lanes", cases[k].terms, plan->lanes);
            int64_t list = own.terms[0].param;
            ck_assert_int_eq(kp_state_dim(plan, 0), list * (own.terms[0].reduction == KF_REDUCE_KMIN ? 1 : 3));
            ck_assert(plan->shape != KP_COLUMNS || plan->stream * list <= 64);
            kb_str text;
            char line[32];
            kb_str_init(&text, kf_allocator(&own.g));
            kp_describe(plan, &text);
            snprintf(line, sizeof line, "K: %lld\n", (long long)list);
            ck_assert_ptr_nonnull(strstr(kb_str_text(&text), line));
            kb_str_finish(&text);
        }
        kp_plan_destroy(&plan);
        sweep_finish(&own);
    }
    /* Rows of a GPU with lists in registers have no room for blocks of a contraction. */
    use(KF_AXIS_J, "x:i100 y:j100", "ArgKMin10:SqDist(x,y)", "r0");
    kp_choice choice;
    ck_assert_int_eq(kp_choose(&s.sweep, kp_caps_profile("gpu"), KCL_F32, 1 << 16, 1 << 16, NULL, &choice, &err),
                     KCL_OK);
    ck_assert_int_eq(choice.schedule, KP_BY_ROWS);
    use(KF_AXIS_J, "x:i100 y:j100", "ArgMin:SqDist(x,y)", "r0");
    ck_assert_int_eq(kp_choose(&s.sweep, kp_caps_profile("gpu"), KCL_F32, 1 << 16, 1 << 16, NULL, &choice, &err),
                     KCL_OK);
    ck_assert_int_eq(choice.schedule, KP_BY_CONTRACTION);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {blocks_fit_the_registers, gpus_keep_in_registers_what_fits,
                                  long_vectors_fit_private_memory_or_are_refused, lists_of_k_values};
    return run_tests("sizes of blocks", tests, KB_COUNT(tests));
}
