/* SPDX-License-Identifier: MIT */
/* tests/render/programs.h: the programs whose text is kept in golden/, by name. */
#ifndef TEST_PROGRAMS_H
#define TEST_PROGRAMS_H

#include "render.h"
#include "sweeps.h"

typedef struct program_case {
    const char *name, *variables, *terms, *outputs; /* see sweeps.h; "fast-...": with fast elementary functions */
    kp_shape shape;
    kcl_dtype dtype;
    int lanes;               /* of float32; 0: 16 */
    const char *strided;     /* names of variables whose rows have gaps; NULL: none */
    size_t private_memory;   /* 0: that of cpu_caps */
    bool expand;             /* squared distances */
    kp_schedule schedule;    /* not by lanes: for the GPU of kp_caps_profile */
} program_case;

#define GAUSS "Exp(-g*SqDist(x,y))"
/* Each a value of its own that is computed once a launch. */
#define FOUR_VALUES(f) "Sqrt(" f "))*Cos(x*Square(" f "))*(x-Abs(" f "))*(x-Sign(" f ")"

static const program_case program_cases[] = {
    {"gauss-1", "x:i1 y:j1 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-3", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-100", "x:i100 y:j100 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-expanded", "x:i100 y:j100 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, true, KP_BY_LANES},
    {"gauss-expanded-columns", "x:i100 y:j100 b:j1 g:p1", GAUSS "*b", "r0", KP_COLUMNS, KCL_F64, 0, NULL, 0, true, KP_BY_LANES},
    {"gauss-f64", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F64, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-8-lanes", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 8, NULL, 0, false, KP_BY_LANES},
    {"gauss-4-lanes-f64", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F64, 4, NULL, 0, false, KP_BY_LANES},
    {"gauss-4-lanes", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS_SPLIT, KCL_F32, 4, NULL, 0, false, KP_BY_LANES},
    {"gauss-split", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS_SPLIT, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-columns", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_COLUMNS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-both", "x:i3 y:j3 u:i1 b:j1 g:p1", GAUSS "*u*b", "r0", KP_ROWS_BOTH, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-strided", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, "xyb", 0, false, KP_BY_LANES},
    {"gauss-strided-columns", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_COLUMNS, KCL_F32, 0, "xb", 0, false, KP_BY_LANES},
    {"gauss-little-memory", "x:i100 u:i1 y:j100 b:j1 g:p1", GAUSS "*(b+u)", "r0", KP_ROWS, KCL_F32, 0, "x", 1000, false, KP_BY_LANES},
    {"gauss-wide", "x:i3 y:j3 b:j64 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-wide-columns", "x:i3 y:j3 b:j64 g:p1", GAUSS "*b", "r0", KP_COLUMNS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gauss-wide-1000", "x:i3 y:j3 b:j1000 g:p1", GAUSS "*b", "r0", KP_COLUMNS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gradient-x", "x:i3 y:j3 b:j1 g:p1 e:i1", "Grad(" GAUSS "*b,x,e)", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gradient-y", "y:i3 x:j3 b:i1 g:p1 e:j1", "Grad(" GAUSS "*b,y,e)", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gradient-b", "y:i3 x:j3 b:i2 g:p1 e:j2", "Grad(" GAUSS "*b,b,e)", "r0", KP_ROWS_SPLIT, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gradient-g", "x:i3 y:j3 b:j1 g:p1 e:i1", "Grad(" GAUSS "*b,g,e)", "r0", KP_ROWS_BOTH, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"two-sums", "x:i3 y:j3 b:j2 g:p1", GAUSS "*b;" GAUSS, "r0/r1", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"two-sums-columns", "x:i3 y:j3 b:j2 g:p1", GAUSS "*b;" GAUSS, "r0/r1;r1", KP_COLUMNS, KCL_F64, 0, NULL, 0, false, KP_BY_LANES},
    {"prepared", "x:i3 y:j3 b:j1", "Exp(-SqDist(x,Sin(y)))*Sqrt(b)", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"prepared-together", "x:i1 y:j1 z:j2",
     "Sin(x*" FOUR_VALUES("y") ")+Sin(x*" FOUR_VALUES("Sin(y)") ")+Sin(x*" FOUR_VALUES("Cos(y)") ")+Sin(x*"
     FOUR_VALUES("Exp(y)") ")+Sin(x*Log(y))+x*Exp(z)", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"hoisted", "x:i3 y:j3 u:i1 b:j1 g:p1", "Exp(-Sqrt(g)*SqDist(Cos(x),y))*(Log(u)*b+Norm2(x))",
     "u*r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"parameters", "x:i3 y:j3 p:p3 g:p1", "Exp(-Sum(p*Square(x-y)))*(p+Norm2(p)*y)",
     "r0+g*p", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"segments", "x:i3 y:j3 b:j1",
     "Concat(Elem(x,0)*b,Concat(Extract(x-y,1,2),ExtractT(Elem(y,2)*x,1,5)))*Elem(x-y,1)",
     "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"norms", "x:i3 y:j3", "Norm2(Norm2(x-y)*x+y)*Norm2(x*y)", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"fast-quotients", "x:i3 y:j3 b:j1", "b/(1+SqDist(x,y))*Exp(x-y)+Inv(b)", "r0/3", KP_ROWS, KCL_F32, 0, NULL, 0, false,
     KP_BY_LANES},
    {"functions", "x:i2 y:j2 u:i1",
     "Powf(Abs(x)+1,y)*Pow(x-y,3)+Sin(x*y)*Cos(x-y)*Log(1+Square(x-y))+Sign(y-u)/Sqrt(x*x+1)",
     "Rsqrt(r0)", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"constants", "x:i1 y:j1", "(x+0.1)*(y-3)+RatCst(-3,7)*Exp(x-1e-3*y)-0.375*Sin(12345678*(x-y))",
     "r0+1e300", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"logsumexp", "x:i3 y:j3 g:p1", "LogSumExp:-g*SqDist(x,y)", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"logsumexp-columns", "x:i3 y:j3 b:j1", "LogSumExp:b-SqDist(x,y)", "r0", KP_COLUMNS, KCL_F64, 0, NULL, 0, false, KP_BY_LANES},
    {"argmin", "x:i3 y:j3", "ArgMin:SqDist(x,y)", "n0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"argmin-candidates", "x:i100 y:j100 u:i1", "ArgMin:SqDist(x,y)", "n0;u", KP_ROWS, KCL_F32, 0, NULL, 0, true, KP_BY_LANES},
    {"argmin-vectors", "x:i3 y:j3", "ArgMin:Abs(x-y)", "n0;r0+x", KP_ROWS_SPLIT, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"three-reductions", "x:i3 y:j3 b:j2 g:p1", GAUSS "*b;LogSumExp:-g*SqDist(x,y);ArgMin:SqDist(x,y)", "r0/Exp(r1);n2",
     KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"min", "x:i3 y:j3", "Min:x*y", "r0", KP_ROWS_SPLIT, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"kmin", "x:i3 y:j3", "ArgKMin10:SqDist(x,y)", "r0;n0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"weighted-columns", "x:i3 y:j3 b:j2", "ExpSums:Concat(-SqDist(x,y),b)", "Extract(r0,2,2)/Elem(r0,1)", KP_COLUMNS,
     KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gpu-kmin", "x:i3 y:j3", "ArgKMin10:SqDist(x,y)", "n0", KP_ROWS_SPLIT, KCL_F32, 0, NULL, 0, false, KP_BY_ROWS},
    {"gpu-gauss-3", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_ROWS},
    {"gpu-gauss-strided", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS_SPLIT, KCL_F32, 0, "xy", 0, false, KP_BY_ROWS},
    {"gpu-gauss-long-columns", "x:i1000 y:j1000 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS, KCL_F32, 0, NULL, 0, false,
     KP_BY_ROWS},
    {"gpu-gauss-both", "x:i3 y:j3 u:i1 b:j1 g:p1", GAUSS "*u*b", "r0", KP_ROWS_BOTH, KCL_F32, 0, NULL, 0, false,
     KP_BY_ROWS},
    {"gpu-gauss-columns", "x:i3 y:j3 b:j1 g:p1", GAUSS "*b", "r0", KP_COLUMNS, KCL_F32, 0, NULL, 0, false, KP_BY_ROWS},
    {"gpu-gauss-100", "x:i100 y:j100 b:j1 g:p1", GAUSS "*b", "r0", KP_ROWS_SPLIT, KCL_F32, 0, "y", 0, false,
     KP_BY_CONTRACTION},
    {"gpu-argmin-3", "x:i3 y:j3", "ArgMin:SqDist(x,y)", "n0", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_ROWS},
    {"gpu-logsumexp-100", "x:i100 y:j100 b:j1", "LogSumExp:b-SqDist(x,y)", "r0", KP_ROWS_SPLIT, KCL_F64, 0, NULL, 0, false,
     KP_BY_CONTRACTION},
    {"batches", "x:i3ab y:j3b b:j1 g:p1a", GAUSS "*Sqrt(b)", "r0*g", KP_ROWS, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"batches-reduced", "x:i3 y:j3aE b:j1F g:p1aF", GAUSS "*Sqrt(b)*g", "r0+x", KP_ROWS_SPLIT, KCL_F32, 0, NULL, 0, false,
     KP_BY_LANES},
    {"batches-map", "x:i3ab g:p1b", "", "Exp(g)*x", KP_MAP, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"gpu-batches-reduced", "x:i3a y:j3E g:p1aE", "LogSumExp:-g*SqDist(x,y)", "r0", KP_ROWS_BOTH, KCL_F32, 0, NULL, 0,
     false, KP_BY_ROWS},
    {"gpu-batches-100", "x:i100 y:j100aE b:j1aE", "LogSumExp:b-SqDist(x,Sqrt(y))", "r0", KP_ROWS_SPLIT, KCL_F32, 0, NULL,
     0, false, KP_BY_CONTRACTION},
    {"constant", "x:i1", "", "2.5;Zero(2)", KP_MAP, KCL_F32, 0, NULL, 0, false, KP_BY_LANES},
    {"map", "x:i3 u:i1 g:p1", "", "Norm2(x)*g+u;Sin(x)*Sqrt(g)", KP_MAP, KCL_F32, 0, "u", 0, false, KP_BY_LANES},
};

enum { PROGRAMS = KB_COUNT(program_cases) };

/* Fills s, whose graph exists already, and plans it. */
static inline kp_plan *plan_case(sweep_of *s, const program_case *c)
{
    unsigned reduced = c->shape == KP_MAP ? 0 : c->shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J;
    bool gpu = c->schedule != KP_BY_LANES;
    kp_caps caps = gpu ? *kp_caps_profile("gpu") : cpu_caps(c->lanes ? c->lanes : 16, c->lanes ? 16 : 32);
    kp_choice choice = {.schedule = c->schedule, .shape = c->shape, .states = gpu && c->shape == KP_COLUMNS ? 4 : 0,
                        .forced = true, .expand = c->expand, .fast = strncmp(c->name, "fast-", 5) == 0};
    bool dense[MOST];
    uint8_t axes[MOST];
    kp_plan *plan;
    kb_error err;
    sweep_fill(s, reduced, c->variables, c->terms, c->outputs);
    for (size_t k = 0; k < s->sweep.var_count; k++)
        dense[k] = !c->strided || !strchr(c->strided, s->name[k][0]);
    if (c->private_memory)
        caps.private_memory = c->private_memory;
    kb_error_clear(&err);
    const kp_batches batches = batches_of(s, axes);
    s->sweep.reduced |= batches.each ? KF_AXIS_EACH : 0;
    ck_assert_msg(kp_plan_create(&plan, &(kp_request){&s->sweep, c->dtype, &caps, choice, dense, batches}, &err) == KCL_OK,
                  "%s: %s", c->name, err.text);
    return plan;
}

static inline void render_plan(kt_program *program, const kp_plan *plan)
{
    kb_error err;
    kb_error_clear(&err);
    ck_assert_msg(kt_render(program, plan, &err) == KCL_OK, "%s", err.text);
}

/* The program of a case, from a graph of its own. */
static inline void render_case(kt_program *program, const program_case *c)
{
    sweep_of s = {0};
    kf_graph_init(&s.g, NULL);
    kp_plan *plan = plan_case(&s, c);
    render_plan(program, plan);
    kp_plan_destroy(&plan);
    sweep_finish(&s);
}

#endif
