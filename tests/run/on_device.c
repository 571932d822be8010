/* SPDX-License-Identifier: MIT */
#include "on_device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

kcl_context *device, *host;

const kcl_dtype dtypes[2] = {KCL_F32, KCL_F64};

const int sizes[SIZES] = {0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 127, 128, 129, 211, 255, 256, 257};

/* ---- Plain loops ------------------------------------------------------------------------------------------------- */

void close_to(double got, double want, double scale, kcl_dtype dtype, const char *what)
{
    double tolerance = dtype == KCL_F32 ? 1e-5 : 1e-12;
    ck_assert_msg(fabs(got - want) <= tolerance * scale + 1e-37,
                  "%s, %s: %.9g, by plain loops %.9g, sum of |terms| %.3g", what, kb_dtype_name(dtype), got, want,
                  scale);
}

/* ---- Families of formulas ---------------------------------------------------------------------------------------- */

const family families[FAMILIES] = {
    {"Exp(-IntInv(#)*g*SqDist(x,y))*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(1)", "g=Pm(1)"}, -1, 1},
    {"Exp(-IntInv(#)*g*SqDist(x,y))*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(64)", "g=Pm(1)"}, -1, 1},
    {"Exp(-g*Norm2(x-y)*IntInv(#))*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(3)", "g=Pm(1)"}, -1, 1},
    {"Inv(1+SqDist(x,y))*(x-y)", {"x=Vi(#)", "y=Vj(#)"}, -1, 1},
    {"(x|y)*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(1)"}, 0.3, 2},
    {"x*y+p", {"x=Vi(#)", "y=Vj(#)", "p=Pm(#)"}, 0.3, 2},
    {"Sum(p*Square(x-y))*b", {"x=Vi(#)", "y=Vj(#)", "p=Pm(#)", "b=Vj(1)"}, 0.3, 2},
    {"Concat(Elem(x,0)*y,Extract(y,0,1)*b)", {"x=Vi(#)", "y=Vj(#)", "b=Vi(1)"}, -1, 1},
    {"ElemT(Elem(x,0)*b,5,2)+ExtractT(Extract(y,0,1),1,5)", {"x=Vi(#)", "y=Vj(#)", "b=Vj(1)"}, -1, 1},
    {"Extract(Concat(x,y),#-0,1)*Rsqrt(1+SqNorm2(x+y))", {"x=Vi(#)", "y=Vj(#)"}, -1, 1},
    {"Exp(-g*IntInv(#)*SqNorm2(x))*c", {"x=Vi(#)", "c=Vi(2)", "g=Pm(1)", "y=Vj(1)"}, -1, 1},
    {"Exp(-g*IntInv(#)*SqNorm2(y))*b", {"y=Vj(#)", "b=Vj(2)", "g=Pm(1)", "x=Vi(1)"}, -1, 1},
    {"g*SqNorm2(p)", {"p=Pm(#)", "g=Pm(1)", "x=Vi(1)", "y=Vj(1)"}, -1, 1},
};

static void put_dim(char *out, size_t size, const char *text, int dim)
{
    size_t n = 0;
    for (; *text; text++) {
        /* "#-0" is a number that must not be an expression: the last component of x behind y's first. */
        if (strncmp(text, "#-0", 3) == 0) {
            n += (size_t)snprintf(out + n, size - n, "%d", dim);
            text += 2;
        } else if (*text == '#') {
            n += (size_t)snprintf(out + n, size - n, "%d", dim);
        } else {
            n += (size_t)snprintf(out + n, size - n, "%c", *text);
        }
    }
}

void make_family(subject *s, const family *f, int dim, int tag, const char *derive, const char *schedule)
{
    char formula[256], text[300], alias[5][32];
    const char *aliases[5];
    int count = 0;
    put_dim(formula, sizeof formula, f->formula, dim);
    snprintf(text, sizeof text, "Sum_Reduction(%s,%d)", formula, tag);
    for (; count < 5 && f->aliases[count]; count++) {
        put_dim(alias[count], sizeof alias[count], f->aliases[count], dim);
        aliases[count] = alias[count];
    }
    s->low = f->low;
    s->high = f->high;
    subject_make(s, text, count, aliases, derive, schedule);
}

/* ---- Schedules --------------------------------------------------------------------------------------------------- */

const char *const schedules[SCHEDULES] = {"lanes", "rows", "contraction", "split", "columns"};

const char three_reductions[] = "ArgMin_Reduction(SqDist(x,y),%d);LogSumExp_Reduction(-g*SqDist(x,y)-100,%d);Sum_"
                                "Reduction(Exp(-g*SqDist(x,y))*b,%d)";

void make_reductions(subject *s, const char *formulas, int dim, int tag, const char *schedule)
{
    char text[300], x[16], y[16];
    snprintf(text, sizeof text, formulas, tag, tag, tag);
    snprintf(x, sizeof x, "x=Vi(%d)", dim);
    snprintf(y, sizeof y, "y=Vj(%d)", dim);
    subject_make(s, text, 4, (const char *const[]){x, y, "b=Vj(1)", "g=Pm(1)"}, "", schedule);
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static void setup(void)
{
    seed_random(test_seed());
}

static void teardown(void)
{
}

int run_tests_on_device(const char *program, const char *name, const test_entry *tests, size_t count)
{
    return run_on_device(program, name, tests, count, setup, teardown, &device, &host);
}
