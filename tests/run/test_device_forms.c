/* SPDX-License-Identifier: MIT */
/*
 * Both forms of squared distances on a device, and what screening decides, against the interpreter.
 */
#include "on_device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Forms of squared distances ---------------------------------------------------------------------------------- */

static const char *const forms[] = {"auto", "differences", "expanded"};

/* A member of a family in a form, over i or j, in both number types. */
START_TEST(test_forms_against_the_interpreter)
{
    static const struct {
        const char *formula, *derive, *schedule;
        int dim;
    } cases[] = {
        {"Sum_Reduction(Exp(-0.05*g*SqDist(x,y))*b,0)", "", "lanes", 64},
        {"Sum_Reduction(Exp(-0.05*g*SqDist(x,y))*b,1)", "", "", 33},
        {"Sum_Reduction(Exp(-0.05*g*SqDist(x,y))*b,0)", "", "columns", 33},
        {"Sum_Reduction(Exp(-0.05*SqNorm2(g*(x-y))),2)", "", "", 40},
        {"Sum_Reduction(Exp(-0.05*SqDist(g*x,g*y))*b,0)", "x", "", 32},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        char x[32], y[32];
        snprintf(x, sizeof x, "x=Vi(%d)", cases[n].dim);
        snprintf(y, sizeof y, "y=Vj(%d)", cases[n].dim);
        for (size_t f = 0; f < KB_COUNT(forms); f++) {
            subject s = {.low = 0, .high = 1, .form = forms[f]};
            subject_make(&s, cases[n].formula, 4, (const char *const[]){x, y, "b=Vj(1)", "g=Pm(1)"}, cases[n].derive,
                         cases[n].schedule);
            for (int t = 0; t < 2; t++) {
                subject_check(&s, device, host, dtypes[t], 100, 211);
                subject_check(&s, device, host, dtypes[t], 7, 65);
            }
            subject_free(&s);
        }
    }
}
END_TEST

static void check_form(const kcl_operator *op, kcl_dtype dtype, const char *want)
{
    static collected text;
    text.length = 0;
    ck_assert_int_eq(kcl_operator_describe(op, device, dtype, 4096, 4100, collect, &text), KCL_OK);
    CONTAINS(text.text, want);
}

START_TEST(test_the_form_follows_the_data_of_each_call)
{
    enum { M = 4096, N = 4100, SAMPLED = 8 };
    subject s = {.low = 0, .high = 1};
    subject_make(&s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", 4,
                 (const char *const[]){"x=Vi(100)", "y=Vj(100)", "b=Vj(1)", "g=Pm(1)"}, "", "");
    check_form(s.op, KCL_F32, "form: by the data of each call\n");
    /* Coordinates in a unit cube, in metres far away, in a field of 1e4 length scales, and again. */
    static const struct {
        double offset, extent, g;
        const char *form;
    } calls[] = {
        {0, 1, 0.06, "form: expanded (bound "},   {1e6, 1e4, 1, "form: differences (bound "},
        {1e6, 1, 0.06, "form: expanded (bound "}, {0, 1e4, 1, "form: differences (bound "},
        {0, 1, 6, "form: differences (bound "},   {0, 1, 0.06, "form: expanded (bound "},
    };
    for (size_t n = 0; n < KB_COUNT(calls); n++) {
        for (int t = 0; t < 2; t++) {
            numbers ins[MAX_INPUTS], got;
            arguments_make(&s, dtypes[t], M, N, ins);
            for (int64_t i = 0; i < M; i++)
                for (int k = 0; k < 100; k++)
                    numbers_set(&ins[0], i, k, calls[n].offset + calls[n].extent * uniform(0, 1));
            for (int64_t j = 0; j < N; j++) /* every column near a row, so that no sum is nothing */
                for (int k = 0; k < 100; k++)
                    numbers_set(&ins[1], j, k, *numbers_exact(&ins[0], j % M, k) + uniform(0, 0.125));
            numbers_set(&ins[3], 0, 0, calls[n].g);
            outputs_make(s.op, dtypes[t], M, N, DENSE, &got);
            ck_assert_msg(apply(s.op, device, &got, ins, false) == KCL_OK, "%s", kcl_context_error(device));
            for (int64_t i = 0; i < M; i += M / SAMPLED) {
                double want = 0; /* all terms are positive */
                for (int64_t j = 0; j < N; j++) {
                    double d2 = 0;
                    for (int k = 0; k < 100; k++)
                        d2 += pow(*numbers_exact(&ins[0], i, k) - *numbers_exact(&ins[1], j, k), 2);
                    want += exp(-*numbers_exact(&ins[3], 0, 0) * d2) * *numbers_exact(&ins[2], j, 0);
                }
                close_to(numbers_get(&got, i, 0), want, want, dtypes[t], calls[n].form);
            }
            check_form(s.op, dtypes[t], calls[n].form);
            outputs_free(s.op, &got);
            arguments_free(&s, ins);
        }
    }
    subject_free(&s);
}
END_TEST

/* Points whose nearest neighbours are clear, or equally near, or near within rounding. */
enum { SCATTERED, LATTICE, FAR_AWAY, FAR_CLUSTERS, REPEATED, POINT_KINDS };

static void make_points(numbers *kept, numbers *reduced, int kind)
{
    for (int side = 0; side < 2; side++) {
        numbers *to = side == 0 ? kept : reduced;
        for (int64_t n = 0; n < to->rows; n++) {
            int cluster = pick(2);
            int64_t other = side && kind == REPEATED && kept->rows ? pick((int)kept->rows) : -1;
            for (int k = 0; k < to->dim; k++) {
                double v = uniform(-1, 1);
                if (kind == LATTICE)
                    v = pick(2);
                else if (kind == FAR_CLUSTERS)
                    v = 100 * cluster + 1e-3 * v;
                numbers_set(to, n, k, other >= 0 ? *numbers_exact(kept, other, k) : v + (kind == FAR_AWAY ? 1e6 : 0));
            }
        }
    }
}

/* Candidates are found with expanded distances and compared by differences: the same indices, ties included. */
START_TEST(test_candidates_give_the_indices_of_differences)
{
    static const struct {
        const char *formula;
        int tag, dim;
        int64_t kept, reduced;
    } cases[] = {
        {"ArgMin_Reduction(SqDist(x,y),%d)", 0, 32, 100, 3000},
        {"ArgMin_Reduction(-SqDist(x,y)/g,%d)", 1, 45, 17, 20011},
        {"ArgMin_Reduction(g*SqDist(x,y),%d);Sum_Reduction(SqDist(x,y),%d)", 0, 100, 1000, 300},
        {"ArgMin_Reduction(SqNorm2(g*(y-x)),%d)", 0, 100, 33, 16},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        subject s[2] = {{.form = "differences"}, {.form = "expanded"}};
        char x[16], y[16], text[100];
        snprintf(x, sizeof x, "x=Vi(%d)", cases[n].dim);
        snprintf(y, sizeof y, "y=Vj(%d)", cases[n].dim);
        snprintf(text, sizeof text, cases[n].formula, cases[n].tag, cases[n].tag);
        for (int f = 0; f < 2; f++)
            subject_make(&s[f], text, 3, (const char *const[]){x, y, "g=Pm(1)"}, "", "");
        for (int round = 0; round < 2 * POINT_KINDS; round++) {
            kcl_dtype dtype = dtypes[round % 2];
            int64_t m = cases[n].tag ? cases[n].reduced : cases[n].kept, wrong = 0;
            int64_t cols = cases[n].tag ? cases[n].kept : cases[n].reduced;
            numbers ins[MAX_INPUTS], got[2][2];
            arguments_make(&s[0], dtype, m, cols, ins);
            make_points(&ins[cases[n].tag], &ins[1 - cases[n].tag], round / 2);
            for (int f = 0; f < 2; f++) {
                outputs_make(s[f].op, dtype, m, cols, DENSE, got[f]);
                ck_assert_msg(apply(s[f].op, device, got[f], ins, false) == KCL_OK, "%s", kcl_context_error(device));
            }
            for (int64_t i = 0; i < cases[n].kept; i++) {
                double index = numbers_get(&got[1][0], i, 0);
                wrong += index != numbers_get(&got[0][0], i, 0);
                ck_assert(index >= 0 && index < (double)cases[n].reduced);
            }
            ck_assert_msg(wrong == 0, "%s, D=%d, kind %d: %lld of %lld indices differ", text, cases[n].dim, round / 2,
                          (long long)wrong, (long long)cases[n].kept);
            for (int f = 0; f < 2; f++)
                outputs_free(s[f].op, got[f]);
            arguments_free(&s[0], ins);
        }
        kcl_device_info info;
        ck_assert_int_eq(kcl_context_device_info(device, &info), KCL_OK);
        check_form(s[1].op, KCL_F32,
                   strcmp(info.type, "cpu") == 0 ? "candidates compared by differences"
                                                 : "form: differences (an ArgMin, on this schedule)");
        for (int f = 0; f < 2; f++)
            subject_free(&s[f]);
    }
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const test_entry tests[] = {
        {test_forms_against_the_interpreter, 0},
        {test_the_form_follows_the_data_of_each_call, 0},
        {test_candidates_give_the_indices_of_differences, 0},
    };
    return run_tests_on_device(argv[0], "forms on a device", tests, KB_COUNT(tests));
}
