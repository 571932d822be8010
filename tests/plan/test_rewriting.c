/* SPDX-License-Identifier: MIT */
/* Rewritten formulas: factors, prepared values, and results that rewriting does not change. */
#include "fixture.h"
#include "passes.h"

#include <math.h>

START_TEST(factors_leave_the_sum)
{
    use(KF_AXIS_J, "x:i3 y:j3 u:i1 g:p1", "u*(-Exp(-SqDist(x,y))*g)", "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_uint_eq(plan->terms[0].formula->axes, BOTH_AXES);
    const kf_node *f = plan->terms[0].formula;
    ck_assert_msg(f->op == KF_EXP || f->op == KF_EXP2, "%s", text_of(f));
    kp_plan_destroy(&plan);
    /* A factor leaves from deep inside a product. */
    use(KF_AXIS_J, "x:i3 y:j3 u:i1 b:j1", "((u*b)*Exp(-SqDist(x,y)))*(-(x-y))", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_msg(!strstr(text_of(plan->terms[0].formula), "Var(2,1,0)"), "%s", text_of(plan->terms[0].formula));
    ck_assert_msg(strstr(text_of(plan->outputs[0]), "Var(2,1,0)") != NULL, "%s", text_of(plan->outputs[0]));
    kp_plan_destroy(&plan);
    /* Vectors leave too: the sum then has one component. */
    use(KF_AXIS_J, "x:i3 y:j3", "Exp(-SqDist(x,y))*x", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_int_eq(plan->terms[0].formula->dim, 1);
    ck_assert_int_eq(plan->outputs[0]->dim, 3);
    kp_plan_destroy(&plan);
    /* The rest must still be summed over the same axes. */
    use(BOTH_AXES, "u:i1 b:j1", "u*b", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS_BOTH);
    ck_assert_uint_eq(plan->terms[0].formula->axes, BOTH_AXES);
    kp_plan_destroy(&plan);
}
END_TEST

START_TEST(the_factor_of_exp2_joins_the_parameter)
{
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    const kf_node *f = plan->terms[0].formula; /* Exp2((c*g)*d)*b */
    ck_assert_int_eq(f->op, KF_MULT);
    const kf_node *e = f->arg[0]->op == KF_EXP2 ? f->arg[0] : f->arg[1];
    ck_assert_msg(e->op == KF_EXP2 && e->arg[0]->op == KF_MULT, "%s", text_of(f));
    const kf_node *p = e->arg[0]->arg[0]->axes ? e->arg[0]->arg[1] : e->arg[0]->arg[0];
    ck_assert_msg(p->axes == 0 && p->op == KF_MULT, "%s", text_of(f));
    kp_plan_destroy(&plan);
    /* An argument that is rounded for each pair already may be rounded again. Without a rounding Exp stays. */
    static const struct {
        const char *formula;
        bool by_exp2;
    } cases[] = {{"Exp(x-y)", true},
                 {"Exp(-Abs(x-y))", true},
                 {"Exp(Maximum(y,x*y))", true},
                 {"Exp(IfElse(x-y,x,x*y))", true},
                 {"Exp(IfElse(x-y,x,y))", false},
                 {"Exp(Floor(x-y))", false},
                 {"Exp(x<y)", false},
                 {"Exp(-SqDist(x,y))", true},
                 {"Exp(Minimum(x,-y))", false},
                 {"Exp(Minimum(x,Abs(y)))", false}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        use(KF_AXIS_J, "x:i1 y:j1", cases[k].formula, "r0");
        plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_int_eq(plan->terms[0].formula->op, cases[k].by_exp2 ? KF_EXP2 : KF_EXP);
        kp_plan_destroy(&plan);
    }
    /* Exp stays, too, if it is not computed for each pair. */
    use(KF_AXIS_J, "x:i1 y:j1", "Exp(x+1)*Sin(x*y)", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_msg(strstr(text_of(plan->outputs[0]), "Exp(") != NULL, "%s", text_of(plan->outputs[0]));
    kp_plan_destroy(&plan);
}
END_TEST

START_TEST(what_depends_on_columns_alone_is_prepared)
{
    use(KF_AXIS_J, "x:i3 y:j3 b:j1 g:p1", "Exp(-SqDist(x,Sin(y)*g))*b", "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_uint_eq(plan->prepared_count, 1); /* b is read where it is */
    ck_assert_uint_eq(plan->prepared[0].value->axes, KF_AXIS_J);
    ck_assert_int_eq(plan->vars[4].role, KF_ROLE_J);
    ck_assert_int_eq(plan->vars[4].dim, 3);
    kp_plan_destroy(&plan);
    /* Lanes over columns: the rows are streamed. */
    use(KF_AXIS_J, "x:i3 y:j3", "Exp(-SqDist(Sin(x),Cos(y)))", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_COLUMNS);
    ck_assert_uint_eq(plan->prepared_count, 1);
    ck_assert_uint_eq(plan->prepared[0].value->axes, KF_AXIS_I);
    ck_assert_int_eq(plan->vars[2].role, KF_ROLE_I);
    kp_plan_destroy(&plan);
}
END_TEST

/* Prepared numbers are components of arrays of at most 1,024 numbers. Prepared vectors have arrays of their own. */
START_TEST(many_prepared_numbers_share_arrays)
{
    static const int counts[] = {16, 17, 1024, 1030, 1100};
    static const size_t arrays[] = {16, 1, 1, 1 + 6, 2};
    kb_str text;
    for (size_t n = 0; n < KB_COUNT(counts); n++) {
        kb_str_init(&text, NULL);
        kb_str_put(&text, "x*Exp(z)");
        for (int k = 0; k < counts[n]; k++)
            kb_str_putf(&text, "+Sin(x*Cos(y+%d))", k);
        use(KF_AXIS_J, "x:i1 y:j1 z:j2", kb_str_text(&text), "r0");
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_uint_eq(plan->prepared_count, (size_t)counts[n] + 1);
        ck_assert_uint_eq(plan->prepared_vars, arrays[n] + 1);
        bool *filled = calloc(plan->var_count * 1024, sizeof *filled);
        for (size_t k = 0; k < plan->prepared_count; k++) {
            const kp_prepared *p = &plan->prepared[k];
            ck_assert_uint_ge(p->var, plan->var_count - plan->prepared_vars);
            for (int c = 0; c < p->value->dim; c++) {
                bool *place = &filled[p->var * 1024 + (size_t)(p->at + c)];
                ck_assert_int_lt(p->at + c, plan->vars[p->var].dim);
                ck_assert(!*place);
                *place = true;
            }
        }
        for (size_t v = plan->var_count - plan->prepared_vars; v < plan->var_count; v++)
            for (int c = 0; c < plan->vars[v].dim; c++)
                ck_assert(filled[v * 1024 + (size_t)c]);
        free(filled);
        kp_plan_destroy(&plan);
        kb_str_finish(&text);
    }
}
END_TEST

/*
 * The text of the library has a branch for each sine, and would take a compiler long. GPUs take the functions of the
 * driver anyway, whose text is long, and call the functions from a smaller number on.
 */
START_TEST(many_sines_are_the_drivers)
{
    static const int counts[] = {16, 17, 24, 25, 32, 33};
    for (size_t c = 0; c < KB_COUNT(counts); c++) {
        const int count = counts[c];
        kb_str text;
        kb_str_init(&text, NULL);
        for (int k = 1; k <= count; k++)
            kb_str_putf(&text, "%s%s(x*y+%d)", k > 1 ? "+" : "", k % 3 ? k % 2 ? "Sin" : "Cos" : "Tan", k);
        use(KF_AXIS_J, "x:i1 y:j1", kb_str_text(&text), "r0");
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_int_eq(plan->many_periodic, count > 32);
        kp_plan_destroy(&plan);
        plan = plan_of(&s.sweep, kp_caps_profile("gpu"), KCL_F32, KP_ROWS);
        ck_assert_int_eq(plan->many_periodic, count > 24);
        kp_plan_destroy(&plan);
        kb_str_finish(&text);
    }
}
END_TEST

/* ---- Rewriting changes no value ---------------------------------------------------------------------------------- */

enum { ROWS = 5, COLS = 9, WIDEST = 8 };

static double *numbers(uint64_t *seed, size_t count)
{
    double *x = malloc((count + 1) * sizeof *x);
    for (size_t k = 0; k < count; k++)
        x[k] = ((double)draw(seed, 2000001) - 1000000) * 1e-6;
    return x;
}

static kf_source source_of(const double *x, int dim, kf_role role)
{
    return (kf_source){x, KCL_F64, role == KF_ROLE_P ? 0 : dim * (int64_t)sizeof *x, sizeof *x};
}

static void run_sweep(const kr_sweep *sweep, int64_t rows, int64_t cols, const kf_source *sources, double **out)
{
    kr_sink sinks[64];
    for (size_t k = 0; k < sweep->output_count; k++) {
        out[k] = calloc(KB_MAX(ROWS, COLS) * 64, sizeof **out);
        ck_assert_int_le(sweep->outputs[k]->dim, 64);
        sinks[k] = (kr_sink){out[k], KCL_F64, sweep->outputs[k]->dim * (int64_t)sizeof **out, sizeof **out};
    }
    ck_assert_msg(kr_run_host(sweep, rows, cols, sources, sinks, 1, &err) == KCL_OK, "%s", err.text);
}

/* Computes the prepared values, then the rewritten sweep of the plan. */
static void run_plan(kp_plan *plan, const kf_source *given, double *out)
{
    kf_source sources[256];
    double *prepared[256] = {0}, *arrays[256], *outs[MOST] = {0};
    kr_var turned[256];
    const kf_node *formulas[256];
    size_t first = plan->var_count - plan->prepared_vars;
    bool columns = plan->stream_axis == KF_AXIS_J;
    int64_t rows = columns ? COLS : ROWS;
    memcpy(sources, given, first * sizeof *sources);
    ck_assert_uint_le(plan->var_count, 256);
    ck_assert_uint_le(plan->prepared_count, 256);
    for (size_t k = 0; k < plan->var_count; k++) {
        turned[k] = plan->vars[k];
        if (columns && turned[k].role != KF_ROLE_P)
            turned[k].role = turned[k].role == KF_ROLE_I ? KF_ROLE_J : KF_ROLE_I;
    }
    for (size_t k = 0; k < plan->prepared_count; k++)
        formulas[k] = columns ? kf_transpose(&plan->graph, plan->prepared[k].value) : plan->prepared[k].value;
    kr_sweep map = {&plan->graph, 0, first, 0, plan->prepared_count, turned, NULL, formulas, NULL};
    if (plan->prepared_count)
        run_sweep(&map, rows, 1, sources, prepared);
    for (size_t v = first; v < plan->var_count; v++) {
        arrays[v] = calloc((size_t)(rows * plan->vars[v].dim), sizeof(double));
        sources[v] = source_of(arrays[v], plan->vars[v].dim, plan->vars[v].role);
    }
    for (size_t k = 0; k < plan->prepared_count; k++) {
        const kp_prepared *p = &plan->prepared[k];
        for (int64_t i = 0; i < rows; i++)
            memcpy(arrays[p->var] + i * plan->vars[p->var].dim + p->at, prepared[k] + i * p->value->dim,
                   (size_t)p->value->dim * sizeof(double));
        free(prepared[k]);
    }
    kr_sweep all = {&plan->graph,     plan->reduced,      plan->var_count,
                    plan->term_count, plan->output_count, plan->vars,
                    plan->terms,      plan->outputs,      NULL};
    run_sweep(&all, ROWS, COLS, sources, outs);
    memcpy(out, outs[0], ROWS * WIDEST * sizeof *out);
    for (size_t v = first; v < plan->var_count; v++)
        free(arrays[v]);
    free(outs[0]);
}

START_TEST(rewriting_changes_no_result)
{
    static const kp_shape shapes[] = {KP_ROWS, KP_COLUMNS, KP_ROWS_BOTH};
    for (uint64_t first = 1; first <= 300; first++) {
        uint64_t seed = first;
        kp_shape shape = shapes[first % 3];
        unsigned reduced = shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J;
        use(reduced, RANDOM_VARIABLES, "", "");
        s.terms[0] = (kr_term){KF_REDUCE_SUM, 0, random_formula(&s, &seed, true)};
        /* The term has factors that can leave the sum, and the output a ratio. */
        if (first % 2)
            s.terms[0].formula = kf_binary(&s.g, KF_MULT, s.names[2].value,
                                           kf_binary(&s.g, KF_MULT, s.terms[0].formula, s.names[4].value));
        const kf_node *acc = kf_var(&s.g, 0, s.terms[0].formula->dim, KF_ROLE_ACC);
        s.outputs[0] = first % 5
                           ? acc
                           : kf_binary(&s.g, KF_DIVIDE, acc,
                                       kf_binary(&s.g, KF_ADD, kf_rat(&s.g, 2, 1), kf_unary(&s.g, KF_SQUARE, acc)));
        s.sweep.term_count = s.sweep.output_count = 1;
        ck_assert_msg(s.g.error.status == KCL_OK, "seed %llu: %s", (unsigned long long)first, s.g.error.text);
        double *data[6], *want[1], got[ROWS * WIDEST];
        kf_source sources[6];
        for (int v = 0; v < 6; v++) {
            data[v] = numbers(&seed, (size_t)KB_MAX(ROWS, COLS) * 3);
            sources[v] = source_of(data[v], s.vars[v].dim, s.vars[v].role);
        }
        run_sweep(&s.sweep, ROWS, COLS, sources, want);
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F64, shape);
        run_plan(plan, sources, got);
        for (int k = 0; k < ROWS * s.outputs[0]->dim; k++)
            ck_assert_msg(fabs(got[k] - want[0][k]) <= 1e-11 * (COLS * ROWS + fabs(want[0][k])),
                          "seed %llu, number %d: %.17g, not %.17g, of %s", (unsigned long long)first, k, got[k],
                          want[0][k], text_of(s.terms[0].formula));
        kp_plan_destroy(&plan);
        free(want[0]);
        for (int v = 0; v < 6; v++)
            free(data[v]);
    }
}
END_TEST

START_TEST(dead_formulas_change_no_plan)
{
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    uint64_t seed = 3;
    sweep_of other;
    sweep_init(&other, NULL, KF_AXIS_J, RANDOM_VARIABLES, "", "");
    for (int k = 0; k < 10; k++)
        random_formula(&other, &seed, true);
    const kf_node *formulas[MOST];
    add_variables(&other, "c:j1"); /* a Gaussian sum behind a graph full of other nodes */
    other.vars[2] = (kr_var){KF_ROLE_J, 1};
    other.vars[3] = (kr_var){KF_ROLE_P, 1};
    other.name_count = 2;
    add_name(&other, "b", 1, kf_var(&other.g, 2, 1, KF_ROLE_J));
    add_name(&other, "g", 1, kf_var(&other.g, 3, 1, KF_ROLE_P));
    read_formulas(&other, gauss_term, formulas);
    other.terms[0] = (kr_term){KF_REDUCE_SUM, 0, formulas[0]};
    other.outputs[0] = kf_var(&other.g, 0, 1, KF_ROLE_ACC);
    other.sweep.var_count = 4;
    other.sweep.term_count = other.sweep.output_count = 1;
    kp_plan *again = plan_of(&other.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_int_eq(again->stream, plan->stream);
    ck_assert_uint_eq(again->terms[0].formula->hash, plan->terms[0].formula->hash);
    kp_plan_destroy(&plan);
    kp_plan_destroy(&again);
    sweep_finish(&other);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {factors_leave_the_sum,
                                  the_factor_of_exp2_joins_the_parameter,
                                  what_depends_on_columns_alone_is_prepared,
                                  many_prepared_numbers_share_arrays,
                                  many_sines_are_the_drivers,
                                  rewriting_changes_no_result,
                                  dead_formulas_change_no_plan};
    return run_tests("rewriting", tests, KB_COUNT(tests));
}
