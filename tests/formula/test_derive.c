/* SPDX-License-Identifier: MIT */
/*
 * Derivatives against differences of values by definition (dense.h), in long double: of every operator with every
 * broadcast, of random formulas, and through reductions; to the second order.
 */
#include "dense.h"
#include "derive.h"
#include "names.h"
#include "passes.h"
#include "simplify.h"
#include "text.h"

static kf_graph g;
static dense d;

static void setup(void)
{
    dense_init(&d, &g, 3, 3, 1); /* as many rows as columns: an array may be used as both */
}

static void teardown(void)
{
    dense_finish(&d);
}

static void restart(uint64_t seed)
{
    dense_finish(&d);
    dense_init(&d, &g, 3, 3, seed);
}

static const kf_node *with(kf_op op, const kf_node *f, int64_t p0, int64_t p1)
{
    return kf_make(&g, op, &f, (const int64_t[]){p0, p1});
}

static const kf_node *sum_over(unsigned axes, const kf_node *f)
{
    return kf_reduce(&g, KF_REDUCE_SUM, axes, 0, f);
}

/* ---- Differences ------------------------------------------------------------------------------------------------- */

/* e*f summed over components, for every (i, j): after a step of the leaf or row that d says. */
static void weighted(const kf_node *f, const kf_node *e, long double step, long double *out)
{
    d.step = step;
    long double *value = dense_eval(&d, f);
    d.step = 0;
    long double *weight = dense_eval(&d, e);
    for (int64_t at = 0; at < d.rows * d.cols; at++) {
        out[at] = 0;
        for (int64_t k = 0; k < f->dim; k++)
            out[at] += value[at * f->dim + k] * weight[at * e->dim + (e->dim == 1 ? 0 : k)];
    }
    free(value);
    free(weight);
}

enum { PAIRS = 9 };

/* The derivative along what d says, by differences of the fourth order. */
static void difference(const kf_node *f, const kf_node *e, long double *out)
{
    const long double h = 1e-4L;
    long double near[2][PAIRS], far[2][PAIRS];
    weighted(f, e, h, near[0]);
    weighted(f, e, -h, near[1]);
    weighted(f, e, 2 * h, far[0]);
    weighted(f, e, -2 * h, far[1]);
    for (int at = 0; at < PAIRS; at++)
        out[at] = (8 * (near[0][at] - near[1][at]) - (far[0][at] - far[1][at])) / (12 * h);
}

static void check_close(const char *what, long double got, long double want, long double scale)
{
    ck_assert_msg(fabs(got - want) <= 1e-8L * KB_MAX(1, scale), "%s: derivative %.15Lg, by differences %.15Lg", what,
                  got, want);
}

static bool has_reduction(const kf_node *f)
{
    kf_order order;
    bool found = false;
    kf_order_init(&order, &g, 1, &f, false, &g.error);
    for (size_t k = 0; k < order.count; k++)
        found |= order.nodes[k]->op == KF_REDUCE;
    kf_order_finish(&order);
    return found;
}

/* (dF/dleaf)^T e for every leaf, at every pair; then the derivatives of these derivatives. */
static void check_vjp(const char *what, const kf_node *f, size_t count, const kf_node *const *leaves, int order)
{
    ck_assert_msg(f != NULL, "%s: %s", what, g.error.text);
    const kf_node *out[8];
    ck_assert_uint_le(count, KB_COUNT(out));
    const kf_node *e = order == 1 && f->dim > 1 ? dense_var(&d, KF_ROLE_P, 1, 0.5, 1.5)
                                                : dense_var(&d, KF_ROLE_J, f->dim, 0.5, 1.5);
    ck_assert_msg(kf_vjp(&g, f, e, count, leaves, out) == KCL_OK, "%s: %s", what, g.error.text);
    for (size_t n = 0; n < count; n++) {
        ck_assert_int_eq(out[n]->dim, leaves[n]->dim);
        ck_assert_msg((f->axes & ~out[n]->axes) == 0, "%s: an axis is lost", what);
        long double *got = dense_eval(&d, out[n]), want[PAIRS];
        double *interpreted = has_reduction(f) ? NULL : dense_interpret(&d, out[n]);
        for (int64_t k = 0; k < leaves[n]->dim; k++) {
            d.moved_leaf = leaves[n];
            d.moved_component = k;
            difference(f, e, want);
            d.moved_leaf = NULL;
            for (int at = 0; at < PAIRS; at++) {
                check_close(what, got[at * leaves[n]->dim + k], want[at], fabs(want[at]));
                if (interpreted)
                    check_close(what, interpreted[at * leaves[n]->dim + k], want[at], fabs(want[at]));
            }
        }
        free(got);
        free(interpreted);
    }
    for (size_t n = 0; order > 1 && n < count; n++)
        if (!kf_is_zero(kf_value(out[n])))
            check_vjp(what, out[n], count, leaves, order - 1);
}

/* ---- Forward mode ------------------------------------------------------------------------------------------------ */

/*
 * f at every pair, its variables moved by `step` in directions that are variables: the data of these variables tell
 * where.
 */
static void moved(const kf_node *f, size_t count, const kf_node *const *vars, const kf_node *const *directions,
                  double step, long double *out)
{
    for (int sign = 1; sign >= -1; sign -= 2) {
        for (size_t n = 0; n < count; n++) {
            const int64_t rows = KB_MAX(d.rows, d.cols);
            double *x = d.data[vars[n]->param[0]], *u = d.data[directions[n]->param[0]];
            for (int64_t k = 0; k < rows * vars[n]->dim; k++)
                x[k] += sign * step * u[k];
        }
        if (sign < 0)
            break;
        long double *value = dense_eval(&d, f);
        memcpy(out, value, (size_t)(d.rows * d.cols * f->dim) * sizeof *out);
        free(value);
    }
}

enum { LARGEST = PAIRS * 64 };

/*
 * The derivative of f along random directions of its variables, against differences; then the derivatives of the
 * derivative.
 */
static void check_jvp(const char *what, const kf_node *f, size_t count, const kf_node *const *vars, int order)
{
    const double h = 1e-3;
    const kf_node *u[8], *out = NULL;
    ck_assert_msg(f != NULL, "%s: %s", what, g.error.text);
    if (f->dim > 64)
        return;
    for (size_t n = 0; n < count; n++)
        u[n] = dense_var(&d, (kf_role)vars[n]->param[2], vars[n]->dim, -1, 1);
    ck_assert_msg(kf_jvp(&g, f, count, vars, u, &out) == KCL_OK, "%s: %s", what, g.error.text);
    ck_assert_int_eq(out->dim, f->dim);
    ck_assert_int_eq(out->axes, f->axes);
    static long double near[2][LARGEST], far[2][LARGEST];
    moved(f, count, vars, u, h, near[0]);
    moved(f, count, vars, u, -h, near[1]);
    moved(f, count, vars, u, 2 * h, far[0]);
    moved(f, count, vars, u, -2 * h, far[1]);
    long double *got = dense_eval(&d, out);
    for (int64_t k = 0; k < d.rows * d.cols * f->dim; k++) {
        long double one = (near[0][k] - near[1][k]) / (2 * h), two = (far[0][k] - far[1][k]) / (4 * h);
        long double want = (4 * one - two) / 3;
        if (fabs(one - two) <= 1e-3L * KB_MAX(1, fabs(one))) /* otherwise there is a kink or a jump within the step */
            ck_assert_msg(fabs(got[k] - want) <= 1e-5L * KB_MAX(1, fabs(want)),
                          "%s: forward derivative %.15Lg, by differences %.15Lg", what, got[k], want);
    }
    free(got);
    if (order > 1)
        check_jvp(what, out, count, vars, order - 1);
}

/* ---- Every operator ---------------------------------------------------------------------------------------------- */

START_TEST(elementwise_operators)
{
    static const int dims[][3] = {{1, 1, 1}, {3, 3, 1}, {1, 3, 3}, {3, 1, 3}};
    kf_op op = (kf_op)_i;
    const kf_op_info *info = kf_info(op);
    if (info->op_class != KF_CLASS_MAP)
        return;
    for (int64_t n = table_least_param(op); n <= table_most_param(op); n++)
        for (size_t k = 0; k < KB_COUNT(dims); k++)
            for (int roles = 0; roles < (info->arity == 1 ? 3 : info->arity == 2 ? 9 : 27); roles++) {
                restart((uint64_t)roles + 1);
                const kf_node *args[KF_MAX_ARGS];
                for (int m = 0, role = roles; m < KF_MAX_ARGS; m++, role /= 3)
                    args[m] = dense_var(&d, (kf_role)(role % 3), dims[k][m], info->low, info->high);
                const kf_node *f = kf_make(&g, op, args, &n);
                check_vjp(info->name, f, (size_t)info->arity, args, 2);
                check_jvp(info->name, f, (size_t)info->arity, args, 2);
                /* Both operands the same. */
                const kf_node *same[] = {args[0], args[0], args[0]};
                check_vjp(info->name, kf_make(&g, op, same, &n), 1, args, 2);
            }
}
END_TEST

/* The other operators, and all names that stand for several operators; x, y, z: 3 components, s, t: 1. */
static const char *const formulas[] = {
    "RatCst(2,3)*x",
    "Zero(3)+x",
    "Sum(x)",
    "Sum(s)",
    "SumT(s,3)",
    "SumT(s,3)*x",
    "Elem(x,0)",
    "Elem(x,2)",
    "ElemT(s,3,1)",
    "ElemT(s,3,1)*x",
    "Extract(x,1,2)",
    "Extract(x,0,3)",
    "ExtractT(x,1,5)",
    "ExtractT(s,0,2)",
    "Concat(x,y)",
    "Concat(x,x)",
    "Concat(s,x)",
    "Like(x,y)",
    "Like(Square(x),y)",
    "IntCst(3)*x",
    "IntInv(3)*x",
    "Scalprod(x,y)",
    "Scalprod(s,y)",
    "(x|s)",
    "(x|x)",
    "SqNorm2(x)",
    "SqNorm2(s)",
    "Norm2(x)",
    "SqDist(x,y)",
    "SqDist(x,s)",
    "SqDist(s,x)",
    "x**3",
    "x**-2",
    "x**1.5",
    "x**y",
    "x**s",
    "s**x",
    "2**x",
    "x/s",
    "s/x",
    "Exp(-SqDist(x,y)*s)*y",
    "Sqrt(SqDist(x,y)+s)*Concat(x,s*y)",
    "(x/Norm2(x)|y)*Log(1+Square(y))",
    "Normalize(x)",
    "Iota(3)*x",
    "Max(x*y)",
    "Min(x+2*y)*x",
    "ArgMax(x)*x",
    "ArgMin(x)*x",
    "OneHot(s,3)*x",
    "Arrange(x,1,2,3,-1)*y",
    "Arrange(x,2,0,2,0,3,1)",
    "Arrange(Concat(x,y),2,0,3,1,2,3)",
    "Arrange(TensorProd(x,y),3,8,3,-1,2,0,2,-6)",
    "Place(x,1,1,3,2,7)",
    "Place(TensorProd(x,x),2,1,3,5,3,1,16)",
    "SumRows(TensorProd(x,y),3)*x",
    "SumRows(x,1)+SumRows(Concat(x,x*y),2)",
    "MatVecMult(TensorProd(x,y),x)",
    "VecMatMult(x,TensorProd(x,y))",
    "TensorProd(x,Concat(s,y))",
    "SymSqNorm(TensorProd(x,y),x)",
    "WeightedSqNorm(s,x)",
    "WeightedSqNorm(y,x)",
    "WeightedSqNorm(TensorProd(x,y),x-y)",
    "WeightedSqDist(y,x,s)",
    "SqNormIso(s,x)",
    "SqNormDiag(x,y)",
    "SinXDivX(x)",
    "Mod(x,s,y)",
    "Clamp(x,0.9,1.4)*y",
    "Clamp(x,s-5,y+5)",
    "Clamp(3*x,1+s,3+y)",
    "ClampInt(x,-1,1)*x",
    "Index(2,-1,3)*x+Sin(IndexI*y)*LessOrEqual(IndexJ,IndexI+s)",
    "IfElse(IndexI-IndexJ,x*IndexJ,y)",
    "Where(x*y<s,x*x,y*Exp(x/inf))*x",
    "DiffClampInt(x,-1,1)*x",
    "TensorDot(TensorProd(x,y),Concat(x,y),[3,3],[2,3],[1],[1],[1,0])*Concat(y,x)",
    "TensorDot(x,TensorProd(y,x),[3],[3,3],[0],Ind(0))*TensorDot(x,s,[3],[],[],[])",
    "Kron(Concat(x,s),Concat(s,s),[2,2],[1,2])",
    "Divergence(Sin(x*s)*y,x)*x",
    "Laplacian(Exp(-s*SqDist(x,y)),x)*y",
    "GradMatrix(Concat(s*x,(x|x)),x)",
    "Diff(Sin(x)*y,x,y*s)*x",
    /* Complex numbers, made of real variables of odd dimensions too. */
    "ComplexMult(Real2Complex(x),Concat(x,y))",
    "ComplexRealScal(s,Concat(x,y))|Imag2Complex(y)",
    "ComplexRealScal(ComplexExp(Concat(x,y)),s)",
    "ComplexSum(ComplexMult(ComplexExp1j(s*x),Imag2Complex(y)))",
    "ComplexDivide(Real2Complex(y),ComplexAdd(Concat(x,y),Concat(s,s)))",
    "ComplexSubtract(Concat(s,s),Conj(Concat(x,y)))*Concat(x,y)",
    "ComplexAbs(Concat(x,y))*ComplexReal(Concat(y,x))",
    "ComplexAngle(ComplexMult(Concat(x,y),Conj(Concat(x,s+y))))",
    "ComplexSquareAbs(ComplexExp1j(x)+Imag2Complex(y))",
    "ComplexMult(ComplexSumT(ComplexSum(Concat(x,y)),6),Concat(y,x))",
    "ComplexImag(ComplexExp(Concat(y,x)))",
    "Elem(BSpline(Concat(-5,Concat(-4,Concat(x+5,x+9))),s,0),1)*y",
    "BSpline(Concat(0.1*x,Concat(1+0.1*y,2+0.1*x)),1.3+0.2*s,2)",
    "BSpline(Concat(0,Concat(0,Concat(0,Concat(s,Concat(4,Concat(4,4)))))),x|y*0.05,3)",
    "Det(s)*Det(Concat(x,s))",
    "Det(TensorProd(x,y)+Place(SumT(s,3),1,0,3,4,9))",
    "Det(TensorProd(Concat(x,s),Concat(y,s*s))+Place(Concat(y,s),1,0,4,5,16))",
    "MatInv(Concat(s,x)+Place(SumT(3,2),1,0,2,3,4))*MatInv(s)",
    "MatInv(TensorProd(x,y)+Place(SumT(s,3),1,0,3,4,9))",
    "MatInv(TensorProd(Concat(x,s),Concat(y,s*s))+Place(Concat(y,s),1,0,4,5,16))",
    "Trace(TensorProd(x,y))*Trace(s)",
};

static const kf_node *in_place_of_name(void *user, const kf_node *leaf)
{
    const kf_binding *bindings = user;
    int64_t k = leaf->op == KF_VAR ? leaf->param[0] - DENSE_VARS : -1;
    return k < 0 ? leaf : bindings[k].value;
}

/* Names stand for any formula: the parser sees variables of their axes and dimension, which are then replaced. */
static const kf_node *parsed(const char *text, size_t count, const kf_binding *bindings)
{
    kf_binding names[16];
    int64_t next = 2 * DENSE_VARS;
    kb_error err = {0};
    const kf_node *f = NULL;
    ck_assert_uint_le(count, KB_COUNT(names));
    for (size_t k = 0; k < count; k++) {
        const kf_node *value = bindings[k].value;
        ck_assert_msg(value != NULL, "%s", g.error.text);
        kf_role role = value->axes == 0 ? KF_ROLE_P : value->axes == KF_AXIS_J ? KF_ROLE_J : KF_ROLE_I;
        names[k] = (kf_binding){bindings[k].name, kf_var(&g, DENSE_VARS + (int64_t)k, value->dim, role)};
    }
    ck_assert_msg(kf_parse_formula(&g, text, count, names, &next, &f, &err) == KCL_OK, "%s", err.text);
    ck_assert_int_eq(kf_substitute(&g, 1, &f, false, in_place_of_name, (void *)bindings, &f), KCL_OK);
    return f;
}

/* Operators with first derivatives only. */
static const char *const first_only[] = {
    "SoftDTW_SqDist(x,y,s)",
    "SoftDTW_SqDist(x,Concat(x*y,s),0.3)*x",
    "SoftDTW_SqDist(s,y,s*s)+SoftDTW_SqDist(x,s,2)+SoftDTW_SqDist(s,2,s)",
};

static void check_text(const char *text, int roles, int order)
{
    static const char *names[] = {"x", "y", "s"};
    kf_binding bindings[3];
    const kf_node *leaves[3];
    restart((uint64_t)roles + 1);
    for (int k = 0; k < 3; k++) {
        leaves[k] = dense_var(&d, (kf_role)((roles / (k == 0 ? 1 : k == 1 ? 3 : 9)) % 3), k < 2 ? 3 : 1, 0.3, 2);
        bindings[k] = (kf_binding){names[k], leaves[k]};
    }
    const kf_node *f = parsed(text, 3, bindings);
    check_jvp(text, f, 3, leaves, order);
    check_vjp(text, f, 3, leaves, order);
    check_vjp(text, kf_unary(&g, KF_SIN, f), 3, leaves, order); /* its derivative is no constant */
}

START_TEST(other_operators_and_composites)
{
    for (int roles = 0; roles < 27; roles += 4)
        check_text(formulas[_i], roles, 2);
}
END_TEST

START_TEST(functions_of_whole_vectors)
{
    for (int roles = 0; roles < 27; roles += 2)
        check_text(first_only[_i], roles, 1);
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0.3, 2), *y = dense_var(&d, KF_ROLE_J, 4, 0.3, 2), *out[2];
    const kf_node *gamma = kf_num(&g, 0.7), *one = kf_rat(&g, 1, 1);
    const kf_node *gradient = kf_make(&g, KF_SOFTDTW_GRAD, (const kf_node *[]){x, y, gamma}, NULL);
    long double *want = dense_eval(&d, gradient);
    double *got = dense_interpret(&d, gradient);
    for (int k = 0; k < PAIRS * 8; k++)
        ck_assert_msg(fabs(got[k] - want[k]) <= 1e-9L * (1 + fabs(want[k])), "%d: %.12g, by differences %.12Lg", k,
                      got[k], want[k]);
    free(want);
    free(got);
    ck_assert_int_eq(kf_vjp(&g, gradient, one, 1, &x, out), KCL_ERROR_DERIVATIVE);
    ck_assert_ptr_nonnull(strstr(g.error.text, "SoftDTW_SqDist"));
    kf_clear_error(&g);
    ck_assert_int_eq(kf_jvp(&g, gradient, 1, &x, &one, out), KCL_ERROR_DERIVATIVE);
    kf_clear_error(&g);
    ck_assert_ptr_null(kf_make(&g, KF_SOFTDTW, (const kf_node *[]){x, y, y}, NULL));
    ck_assert_ptr_nonnull(strstr(g.error.text, "gamma has dimension 4"));
    kf_clear_error(&g);
}
END_TEST

enum { ELEMENTWISE, OTHERS, COMPOSED, KINDS };

static void check_tested(void *user, const char *name)
{
    int *counts = user;
    kf_name found;
    ck_assert(kf_find_name(name, strlen(name), &found));
    counts[found.op < 0 ? COMPOSED : kf_info((kf_op)found.op)->op_class == KF_CLASS_MAP ? ELEMENTWISE : OTHERS]++;
    /* Rows of a table have derivatives through reductions alone: tests/api/test_selection.c. */
    bool tested = strcmp(name, "Gather") == 0 ||
                  (found.op >= 0 && kf_info((kf_op)found.op)->op_class == KF_CLASS_CALL) ||
                  (found.op >= 0 && kf_info((kf_op)found.op)->op_class == KF_CLASS_MAP);
    for (size_t k = 0; k < KB_COUNT(formulas); k++) {
        const char *p = strstr(formulas[k], name);
        tested |= p && (p[strlen(name)] == '(' || !(found.arity || found.params)) &&
                  (p == formulas[k] || strchr("+-*/(|,", p[-1]));
    }
    ck_assert_msg(tested, "no derivative of %s is tested", name);
}

START_TEST(no_name_is_forgotten)
{
    int counts[KINDS] = {0};
    kf_each_name(check_tested, counts);
    printf("names in formulas        value        reverse, forward, second    device\n"
           "%2d elementwise operators  test_interp  elementwise_operators       lazy-device, test_every_operator\n"
           "%2d other operators        test_interp  other_operators_...         the same\n"
           "%2d composed of others     dense.h      other_operators_...         by their operators\n",
           counts[ELEMENTWISE], counts[OTHERS], counts[COMPOSED]);
}
END_TEST

/* ---- Random formulas --------------------------------------------------------------------------------------------- */

enum { CASES = 400, STEPS = 40 };

/* Whether differences say anything: the third derivative of long compositions may be beyond any step. */
static bool is_smooth(const kf_node *f, const kf_node *e)
{
    const long double h = 1e-3L;
    long double near[2][PAIRS], far[2][PAIRS];
    weighted(f, e, h, near[0]);
    weighted(f, e, -h, near[1]);
    weighted(f, e, 2 * h, far[0]);
    weighted(f, e, -2 * h, far[1]);
    for (int at = 0; at < PAIRS; at++) {
        long double one = (near[0][at] - near[1][at]) / (2 * h), two = (far[0][at] - far[1][at]) / (4 * h);
        if (!(fabs(one - two) <= 1e-4L * KB_MAX(1, fabs(one))))
            return false;
    }
    return true;
}

static const kf_node *grown(garden *w, uint64_t seed, bool reductions)
{
    restart(seed);
    garden_init(w, &d, STEPS + 8, reductions);
    for (int k = 0; k < 4; k++)
        w->pool[w->count++] = dense_var(&d, (kf_role)(k % 3), k < 2 ? 3 : 1, 0.3, 2);
    return garden_grow(w, STEPS);
}

/* One order for f. Returns the derivative by the leaf that was tested; NULL if differences say nothing. */
static const kf_node *check_random(uint64_t seed, const kf_node *f, const kf_node *leaf, long *compared)
{
    const kf_node *e = dense_var(&d, KF_ROLE_I, f->dim, 0.5, 1.5), *out = NULL;
    ck_assert_msg(kf_vjp(&g, f, e, 1, &leaf, &out) == KCL_OK, "seed %llu: %s", (unsigned long long)seed, g.error.text);
    long double *got = dense_eval(&d, out), want[PAIRS];
    bool smooth = true;
    for (int64_t k = 0; k < leaf->dim; k++) {
        d.moved_leaf = leaf;
        d.moved_component = k;
        bool here = is_smooth(f, e);
        difference(f, e, want);
        d.moved_leaf = NULL;
        smooth &= here;
        for (int at = 0; here && at < PAIRS; at++) {
            long double x = got[at * leaf->dim + k];
            ck_assert_msg(fabs(x - want[at]) <= 1e-4L * KB_MAX(1, fabs(want[at])),
                          "seed %llu: derivative %.12Lg, by differences %.12Lg", (unsigned long long)seed, x, want[at]);
            ++*compared;
        }
    }
    free(got);
    return smooth && !kf_is_zero(kf_value(out)) ? out : NULL;
}

START_TEST(random_formulas)
{
    uint64_t seed = case_seed(1);
    long compared[2] = {0}, nodes = 0, second = 0;
    int cases = getenv("KEOPSCL_TEST_SEED") ? 1 : CASES;
    for (int k = 0; k < cases; k++) {
        garden w;
        const kf_node *f = grown(&w, seed + (uint64_t)k, false);
        nodes += (long)node_count(&g, f);
        for (int v = 0; v < 4; v++) {
            const kf_node *derivative = check_random(seed + (uint64_t)k, f, w.pool[v], &compared[0]);
            if (derivative && v == k % 4 && node_count(&g, derivative) < 3000) {
                second++;
                check_random(seed + (uint64_t)k, derivative, w.pool[(v + 1) % 4], &compared[1]);
            }
        }
        garden_finish(&w);
    }
    printf("derive: seed %llu, %d formulas of %.1f nodes, %ld values compared, %ld second derivatives with %ld\n",
           (unsigned long long)seed, cases, (double)nodes / cases, compared[0], second, compared[1]);
    ck_assert_int_ge(compared[0], 60L * cases); /* of 72, leaves that do not occur included */
    ck_assert_int_ge(nodes, 15L * cases);
}
END_TEST

/* ---- Gradients through reductions -------------------------------------------------------------------------------- */

/* The sum of e*f over the axes of f, after a step of the row that d says. */
static long double total(const kf_node *f, const kf_node *e, long double step)
{
    long double pairs[PAIRS], sum = 0;
    weighted(f, e, step, pairs);
    for (int64_t i = 0; i < (f->axes & KF_AXIS_I ? d.rows : 1); i++)
        for (int64_t j = 0; j < (f->axes & KF_AXIS_J ? d.cols : 1); j++)
            sum += pairs[i * d.cols + j];
    return sum;
}

static int64_t rows_of(const kf_node *var)
{
    return var->param[2] == KF_ROLE_I ? d.rows : var->param[2] == KF_ROLE_J ? d.cols : 1;
}

/* Component k of row `row` of a formula with the axes of var. */
static long double at_row(const long double *values, const kf_node *var, int64_t row, int64_t k)
{
    int64_t i = var->param[2] == KF_ROLE_I ? row : 0, j = var->param[2] == KF_ROLE_J ? row : 0;
    return values[(i * d.cols + j) * var->dim + k];
}

static void check_gradient(const char *what, const kf_node *f, const kf_node *e, size_t count,
                           const kf_node *const *vars, int order)
{
    ck_assert_msg(f != NULL, "%s: %s", what, g.error.text);
    const kf_node *out[8];
    if (!e)
        e = kf_like(&g, dense_var(&d, KF_ROLE_P, f->dim, 0.5, 1.5), f);
    ck_assert_msg(kf_gradient(&g, f, e, count, vars, out) == KCL_OK, "%s: %s", what, g.error.text);
    for (size_t n = 0; n < count; n++) {
        ck_assert_int_eq(out[n]->dim, vars[n]->dim);
        ck_assert_msg(out[n]->axes == vars[n]->axes, "%s: the gradient has axes %d, the variable %d", what,
                      out[n]->axes, vars[n]->axes);
        long double *got = dense_eval(&d, out[n]);
        for (int64_t row = 0; row < rows_of(vars[n]); row++)
            for (int64_t k = 0; k < vars[n]->dim; k++) {
                const long double h = 1e-3L;
                d.moved_index = vars[n]->param[0];
                d.moved_row = row;
                d.moved_component = k;
                long double want = (8 * (total(f, e, h) - total(f, e, -h)) -
                                    (total(f, e, 2 * h) - total(f, e, -2 * h))) / (12 * h);
                d.moved_index = -1;
                check_close(what, at_row(got, vars[n], row, k), want, fabs(want));
            }
        free(got);
    }
    for (size_t n = 0; order > 1 && n < count; n++) {
        const kf_node *c = dense_var(&d, (kf_role)vars[n]->param[2], vars[n]->dim, 0.5, 1.5);
        if (!kf_is_zero(kf_value(out[n])))
            check_gradient(what, out[n], c, count, vars, order - 1);
    }
}

/*
 * Formulas over x (Vi 3), y (Vj 3), b (Vj 1), s (Vi 1), p (Pm 3), q (Pm 1), and over results: each line may use u, the
 * reduction of the line before, and ut, its transpose.
 */
typedef struct stage {
    unsigned axes; /* reduced; 0: none; plus 4 times the reduction, if the reduction is no sum */
    const char *text;
} stage;

enum {
    LSE = 4 * KF_REDUCE_LOGSUMEXP,
    LSEW = 4 * KF_REDUCE_LOGSUMEXPWEIGHT,
    SOFTMAX = 4 * KF_REDUCE_SUMSOFTMAXWEIGHT,
    ARGMIN = 4 * KF_REDUCE_ARGMIN
};

static const stage chains[][4] = {
    {{2, "Exp(-q*SqDist(x,y))*b"}},
    {{1, "Exp(-q*SqDist(x,y))*s*p"}},
    {{3, "Exp(-q*SqDist(x,y))*b*(p|x)"}},
    {{0, "Exp(-q*SqDist(x,y))*b"}},
    {{0, "Sin(x)*p"}},
    {{0, "Sin(y)*q"}},
    {{0, "Sin(p)*q"}},
    {{2, "x+y"}},
    {{1, "x+y"}},
    {{3, "x+y"}},
    {{3, "x+2*y+p"}},
    {{3, "x"}},
    {{2, "Square(x)+b"}},
    {{2, "y*p"}},
    {{2, "x*y"}, {0, "u*Sin(x)+u"}},
    {{2, "Sin(x*y)"}, {1, "u*u*x"}},
    {{2, "Sin(x-y)*b"}, {0, "Sin(ut)*y+x*u"}},
    {{2, "Exp(-SqDist(x,y))*b"}, {2, "Exp(-q*SqDist(x,y))*Sin(ut)*u"}},
    {{2, "Exp(-SqDist(x,y))*y"}, {2, "Exp(-q*SqDist(x+u,y+ut))*b"}, {3, "Square(u-s)"}},
    {{1, "Exp(-SqDist(x,y))*x"}, {2, "Exp(-q*SqDist(x,u))*ut"}, {1, "Square(u-p)*b"}, {0, "Sqrt(1+(u|u))*y"}},
    {{3, "x*y"}, {2, "Sin(u*x)*y"}},
    {{3, "x*y"}, {0, "Sin(u)*p"}},
    {{3, "x*y*p"}, {2, "Sin(u*x)"}, {1, "u*y"}},
    {{2, "Exp(-q*(x|y))*y"}, {0, "u/(1+Square(u))"}, {3, "Norm2(u)*b"}},
    {{2, "Concat(x*b,Sin(y))"}, {1, "Extract(u,1,3)*Elem(y,0)"}},
    {{2, "Like(x,y)"}},
    {{3, "Like(Sin(p),x+y)"}},
    {{2, "Like(Square(s),y)*b"}, {0, "u*u"}},
    {{2, "(x-x)+y"}},
    {{2, "Sin(Elem(x,1)-b)*ElemT(s,4,2)"}},
    {{2, "Sin(x*y)"}, {2, "Sin(u)*y+Cos(u)*Square(y)*x"}, {2, "u*Exp(-SqDist(x,y))+y"}},
    {{1, "Sin(x*y)"}, {3, "Sin(u)*x+ut*y"}, {2, "u*x*y+p"}},
    {{LSE + 2, "b-q*SqDist(x,y)"}},
    {{LSE + 1, "(x|y)*s"}},
    {{LSE + 3, "Sin(x|y)*q+b*(p|x)"}},
    {{LSE + 2, "Like(x|p,y)"}},
    {{LSE + 2, "x|y"}, {1, "Sin(u)*x"}},
    {{LSE + 1, "x|y"}, {LSE + 2, "u*b+(x|y)"}, {3, "Square(u-s)+ut"}},
    {{2, "Exp(-SqDist(x,y))*y"}, {LSE + 2, "b-q*SqDist(u,y)"}, {3, "Square(u-s)"}},
    {{LSE + 3, "x|y"}, {2, "Sin(u*x)*y"}},
    {{LSE + 2, "x*y"}, {1, "Sin(u)*x"}},
    {{LSEW + 2, "Concat(x|y,Square(y)*b)"}},
    {{LSEW + 1, "Concat(b-q*SqDist(x,y),b)"}},
    {{LSEW + 3, "Concat(s*q,x*Square(y))"}, {0, "u*Sin(x)"}},
    {{LSEW + 2, "Concat(s,Exp(x*y))"}, {2, "Sin(u*y)"}},
    {{SOFTMAX + 2, "Concat(x|y,y*b)"}},
    {{SOFTMAX + 1, "Concat(s-q*SqDist(x,y),x-y)"}, {LSE + 2, "ut|y"}},
    {{SOFTMAX + 3, "Concat(x|y,Sin(x*y))"}, {0, "u*x"}},
    {{SOFTMAX + 2, "Concat(b,x*y)"}, {1, "u*y*x"}},
    {{SOFTMAX + 2, "Concat(s,Sin(x*y))"}, {3, "Square(u)+y"}},
    {{ARGMIN + 2, "SqDist(x,y)"}, {0, "u*Sin(x)"}},
    {{ARGMIN + 1, "Square(x-y)*b"}, {3, "Sin(u*y)*x+ut*s"}},
    {{ARGMIN + 3, "x*y"}, {2, "Sin(u*x)*y"}},
};

START_TEST(gradients_through_reductions)
{
    restart(7);
    const kf_node *vars[] = {dense_var(&d, KF_ROLE_I, 3, 0.3, 1.2), dense_var(&d, KF_ROLE_J, 3, 0.3, 1.2),
                             dense_var(&d, KF_ROLE_J, 1, 0.3, 1.2), dense_var(&d, KF_ROLE_I, 1, 0.3, 1.2),
                             dense_var(&d, KF_ROLE_P, 3, 0.3, 1.2), dense_var(&d, KF_ROLE_P, 1, 0.3, 1.2)};
    kf_binding bindings[8] = {{"x", vars[0]}, {"y", vars[1]}, {"b", vars[2]}, {"s", vars[3]}, {"p", vars[4]},
                              {"q", vars[5]}};
    const kf_node *f = NULL;
    const char *text = NULL;
    for (int k = 0; k < 4 && chains[_i][k].text; k++) {
        bindings[6] = (kf_binding){"u", f};
        bindings[7] = (kf_binding){"ut", k ? kf_transpose(&g, f) : NULL};
        text = chains[_i][k].text;
        f = kf_reduce(&g, (kf_reduction)(chains[_i][k].axes / 4), chains[_i][k].axes % 4, 0,
                      parsed(text, k ? 8 : 6, bindings));
    }
    check_jvp(text, f, 6, vars, 2);
    check_gradient(text, f, NULL, 6, vars, 2);
}
END_TEST

START_TEST(random_formulas_with_reductions)
{
    uint64_t seed = case_seed(500001);
    long checked = 0;
    int cases = getenv("KEOPSCL_TEST_SEED") ? 1 : CASES;
    for (int k = 0; k < cases; k++) {
        garden w;
        const kf_node *f = sum_over(1u + (unsigned)k % 3, grown(&w, seed + (uint64_t)k, true)), *out[4];
        const kf_node *e = kf_like(&g, kf_rat(&g, 3, 4), f);
        ck_assert_msg(kf_gradient(&g, f, e, 4, w.pool, out) == KCL_OK, "seed %llu: %s",
                      (unsigned long long)(seed + (uint64_t)k), g.error.text);
        for (int v = 0; v < 4; v++) {
            ck_assert_int_eq(out[v]->dim, w.pool[v]->dim);
            ck_assert_int_eq(out[v]->axes, w.pool[v]->axes);
            long double *got = dense_eval(&d, out[v]), h = 1e-3L;
            int64_t row = dense_below(&d, rows_of(w.pool[v])), c = dense_below(&d, w.pool[v]->dim);
            d.moved_index = w.pool[v]->param[0];
            d.moved_row = row;
            d.moved_component = c;
            long double one = (total(f, e, h) - total(f, e, -h)) / (2 * h);
            long double two = (total(f, e, 2 * h) - total(f, e, -2 * h)) / (4 * h), want = (4 * one - two) / 3;
            d.moved_index = -1;
            if (fabs(one - two) <= 1e-4L * KB_MAX(1, fabs(one))) {
                ck_assert_msg(fabs(at_row(got, w.pool[v], row, c) - want) <= 1e-4L * KB_MAX(1, fabs(want)),
                              "seed %llu, variable %d: %.12Lg, by differences %.12Lg",
                              (unsigned long long)(seed + (uint64_t)k), v, at_row(got, w.pool[v], row, c), want);
                checked++;
            }
            free(got);
        }
        garden_finish(&w);
    }
    printf("gradient: seed %llu, %d formulas, %ld of %d values compared\n", (unsigned long long)seed, cases, checked,
           4 * cases);
    ck_assert_int_ge(checked * 10, 9L * 4 * cases * (cases > 1));
}
END_TEST

START_TEST(a_lost_axis_counts_its_terms)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 1, 0, 1), *y = dense_var(&d, KF_ROLE_J, 1, 0, 1), *out[2];
    const kf_node *f = sum_over(KF_AXIS_J, kf_binary(&g, KF_ADD, x, y)), *vars[] = {x, y};
    ck_assert_int_eq(kf_gradient(&g, f, kf_rat(&g, 1, 1), 2, vars, out), KCL_OK);
    for (int k = 0; k < 2; k++) {
        long double *value = dense_eval(&d, out[k]);
        for (int at = 0; at < PAIRS; at++)
            ck_assert(value[at] == 3); /* rows and columns, not 1 */
        free(value);
    }
}
END_TEST

START_TEST(an_array_in_two_roles_has_one_gradient)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 2, 0.3, 1.2), *xj = kf_var(&g, x->param[0], 2, KF_ROLE_J);
    const kf_node *b = dense_var(&d, KF_ROLE_J, 1, 0.3, 1.2), *vars[] = {x, b}, *turned[] = {xj, b};
    const kf_node *distance = kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, x, xj)));
    const kf_node *kernel = kf_binary(&g, KF_MULT, kf_unary(&g, KF_EXP, kf_unary(&g, KF_MINUS, distance)), b);
    for (unsigned axes = 1; axes < 4; axes++) {
        const kf_node *signal = kf_binary(&g, KF_ADD, kf_unary(&g, KF_SIN, x), xj);
        const kf_node *f = sum_over(axes, kf_binary(&g, KF_MULT, kernel, signal));
        check_gradient("x in both roles, asked as i", f, NULL, 2, vars, 2);
        check_gradient("x in both roles, asked as j", f, NULL, 2, turned, 2);
    }
    check_gradient("the same, not reduced", kernel, NULL, 2, vars, 2);
    const kf_node *u = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, kernel, xj));
    const kf_node *gap = kf_binary(&g, KF_SUB, u, kf_transpose(&g, u));
    const kf_node *v = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, kf_unary(&g, KF_SIN, gap), x));
    check_gradient("x in both roles, twice", v, NULL, 2, vars, 2);
}
END_TEST

/* <c, H d> = <d, H c>, between every two variables. */
START_TEST(second_derivatives_are_symmetric)
{
    const kf_node *vars[] = {dense_var(&d, KF_ROLE_I, 2, 0.3, 1.2), dense_var(&d, KF_ROLE_J, 2, 0.3, 1.2),
                             dense_var(&d, KF_ROLE_P, 1, 0.3, 1.2)};
    kf_binding bindings[] = {{"x", vars[0]}, {"y", vars[1]}, {"q", vars[2]},
                             {"xt", kf_var(&g, vars[0]->param[0], 2, KF_ROLE_J)}};
    const kf_node *u = sum_over(KF_AXIS_J, parsed("Exp(-q*SqDist(x,y))*Sin(y+xt)", 4, bindings));
    const kf_node *f = sum_over(KF_AXIS_I, kf_unary(&g, KF_SUM, kf_binary(&g, KF_MULT, u, kf_unary(&g, KF_SQUARE, u))));
    const kf_node *first[3], *c[3], *second[3][3];
    ck_assert_int_eq(kf_gradient(&g, f, kf_rat(&g, 1, 1), 3, vars, first), KCL_OK);
    long double form[3][3];
    for (int k = 0; k < 3; k++) {
        c[k] = dense_var(&d, (kf_role)vars[k]->param[2], vars[k]->dim, -1, 1);
        ck_assert_int_eq(kf_gradient(&g, first[k], c[k], 3, vars, second[k]), KCL_OK);
    }
    for (int k = 0; k < 3; k++)
        for (int n = 0; n < 3; n++)
            form[k][n] = total(second[k][n], c[n], 0);
    for (int k = 0; k < 3; k++)
        for (int n = 0; n < 3; n++) {
            ck_assert(fabs(form[k][n]) > 1e-6L);
            ck_assert_msg(fabs(form[k][n] - form[n][k]) <= 1e-15L * KB_MAX(1, fabs(form[k][n])),
                          "variables %d and %d: %.17Lg and %.17Lg", k, n, form[k][n], form[n][k]);
        }
}
END_TEST

START_TEST(a_variable_that_does_not_occur_has_a_zero_gradient)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0, 1), *y = dense_var(&d, KF_ROLE_J, 3, 0, 1), *out[4];
    const kf_node *absent[] = {dense_var(&d, KF_ROLE_I, 2, 0, 1), dense_var(&d, KF_ROLE_J, 4, 0, 1),
                               dense_var(&d, KF_ROLE_P, 5, 0, 1), x};
    const kf_node *formula[] = {kf_dot(&g, x, y), sum_over(KF_AXIS_I, kf_dot(&g, x, y)),
                                sum_over(KF_AXIS_I | KF_AXIS_J, kf_dot(&g, x, y))};
    for (size_t n = 0; n < KB_COUNT(formula); n++) {
        ck_assert_int_eq(kf_gradient(&g, formula[n], kf_rat(&g, 1, 1), 4, absent, out), KCL_OK);
        for (int k = 0; k < 3; k++) {
            ck_assert(kf_is_zero(kf_value(out[k])));
            ck_assert_int_eq(out[k]->dim, absent[k]->dim);
            ck_assert_uint_eq(out[k]->axes, absent[k]->axes);
        }
        ck_assert(!kf_is_zero(kf_value(out[3])));
    }
    ck_assert_int_eq(kf_vjp(&g, formula[0], kf_rat(&g, 1, 1), 4, absent, out), KCL_OK);
    for (int k = 0; k < 3; k++)
        ck_assert(kf_is_zero(kf_value(out[k])) && out[k]->dim == absent[k]->dim);
    /* Sign has a derivative, which is 0. */
    ck_assert_int_eq(kf_vjp(&g, kf_unary(&g, KF_SIGN, x), kf_rat(&g, 1, 1), 1, &x, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->dim == 3);
    /* A leaf that is asked for and was made after the formula. */
    const kf_node *late = dense_var(&d, KF_ROLE_I, 2, 0, 1);
    ck_assert_int_eq(kf_vjp(&g, formula[0], kf_rat(&g, 1, 1), 1, &late, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->dim == 2);
}
END_TEST

START_TEST(an_index_is_a_constant_and_has_no_gradient_of_its_own)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0, 1), *y = dense_var(&d, KF_ROLE_J, 3, 0, 1), *out[1];
    const kf_node *absent = dense_var(&d, KF_ROLE_I, 2, 0, 1), *one = kf_rat(&g, 1, 1);
    const kf_node *index = kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_J, 0, kf_binary(&g, KF_MULT, x, y));
    ck_assert_int_eq(index->kind, KF_INT);
    ck_assert_int_eq(index->dim, 3);
    ck_assert_int_eq(kf_gradient(&g, kf_binary(&g, KF_MULT, one, index), one, 1, &x, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->axes == KF_AXIS_I);
    ck_assert_int_eq(kf_gradient(&g, index, one, 1, &absent, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->dim == 2);
    for (int k = 0; k < 2; k++) {
        const kf_node *f = k ? kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_I, 0, kf_like(&g, x, y)) : index;
        ck_assert_int_eq(kf_gradient(&g, f, one, 1, &x, out), KCL_ERROR_DERIVATIVE);
        ck_assert_ptr_nonnull(strstr(g.error.text, "ArgMin_Reduction is a whole number"));
        kf_clear_error(&g);
    }
    /* As a cotangent the index is a number: the gradient of x*e is e, and no integer. */
    ck_assert_int_eq(kf_gradient(&g, x, index, 1, &x, out), KCL_OK);
    ck_assert_int_eq(out[0]->kind, KF_REAL);
    ck_assert_int_eq(kf_vjp(&g, x, index, 1, &x, out), KCL_OK);
    ck_assert_int_eq(out[0]->kind, KF_REAL);
}
END_TEST

/* Only the index is looked for among pairs: gathers and scatters have rows and terms alone, to any order. */
START_TEST(smallest_values_are_derived_through_their_indices)
{
    const kf_node *vars[] = {dense_var(&d, KF_ROLE_I, 2, 0.3, 1.2), dense_var(&d, KF_ROLE_J, 2, 0.3, 1.2)}, *out[2];
    kf_binding bindings[] = {{"x", vars[0]}, {"y", vars[1]}};
    const kf_node *f = parsed("SqDist(x,y)", 2, bindings);
    const kf_node *least = kf_reduce(&g, KF_REDUCE_KMIN, KF_AXIS_J, 3, f);
    out[0] = sum_over(KF_AXIS_I, kf_unary(&g, KF_SUM, kf_unary(&g, KF_SIN, least)));
    for (int times = 1; times <= 3; times++) {
        kf_order order;
        int among_pairs = 0, gathers = 0, scatters = 0;
        ck_assert_int_eq(kf_gradient(&g, out[0], kf_rat(&g, 1, 1), 2, vars, out), KCL_OK);
        ck_assert_int_eq(kf_order_init(&order, &g, 2, out, false, &g.error), KCL_OK);
        for (size_t k = 0; k < order.count; k++) {
            const kf_node *n = order.nodes[k];
            if (n->op != KF_REDUCE)
                continue;
            gathers += n->param[0] == KF_REDUCE_GATHER;
            scatters += n->param[0] == KF_REDUCE_SCATTER;
            if (n->arg[0]->axes != (KF_AXIS_I | KF_AXIS_J))
                continue;
            among_pairs++;
            ck_assert_int_eq(n->param[0], KF_REDUCE_ARGKMIN);
        }
        ck_assert_int_eq(among_pairs, 1);
        ck_assert_int_ge(gathers, 1);
        ck_assert_int_ge(scatters, 1);
        kf_order_finish(&order);
        out[0] = sum_over(KF_AXIS_I, kf_unary(&g, KF_SUM, out[0]));
    }
}
END_TEST

START_TEST(reductions_are_leaves_of_vjp)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0.3, 1), *y = dense_var(&d, KF_ROLE_J, 3, 0.3, 1);
    const kf_node *r = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, x, y)), *leaves[] = {x, r}, *out[2];
    const kf_node *z = dense_var(&d, KF_ROLE_I, 3, 0.3, 1), *apart[] = {z, r};
    check_vjp("Sin(r)*z", kf_binary(&g, KF_MULT, kf_unary(&g, KF_SIN, r), z), 2, apart, 2);
    ck_assert_int_eq(kf_vjp(&g, r, kf_rat(&g, 1, 1), 2, leaves, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && !kf_is_zero(kf_value(out[1])));
    ck_assert_int_eq(kf_vjp(&g, kf_binary(&g, KF_MULT, r, x), kf_rat(&g, 1, 1), 1, leaves, out), KCL_OK);
    ck_assert_ptr_eq(kf_value(out[0]), r); /* the x inside r does not count */
    ck_assert_int_eq(kf_vjp(&g, r, kf_rat(&g, 1, 1), 0, NULL, NULL), KCL_OK);
}
END_TEST

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static void check_error(kcl_status status, kcl_status want, const char *a, const char *b)
{
    ck_assert_int_eq(status, want);
    ck_assert_int_eq(g.error.status, want);
    ck_assert_msg(strstr(g.error.text, a) && strstr(g.error.text, b), "\"%s\" lacks \"%s\" or \"%s\"", g.error.text, a,
                  b);
    kf_clear_error(&g);
}

START_TEST(errors_say_what_does_not_fit)
{
    const kf_node *x = kf_var(&g, 0, 3, KF_ROLE_I), *y = kf_var(&g, 1, 3, KF_ROLE_J), *out[1];
    const kf_node *p = kf_var(&g, 0, 3, KF_ROLE_P), *e = kf_var(&g, 2, 2, KF_ROLE_I);
    const kf_node *f = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, x, y));
    check_error(kf_vjp(&g, kf_binary(&g, KF_MULT, x, y), e, 1, &x, out), KCL_ERROR_SHAPE, "dimension 3", "has 2");
    check_error(kf_gradient(&g, f, e, 1, &x, out), KCL_ERROR_SHAPE, "dimension 3", "has 2");
    check_error(kf_gradient(&g, f, y, 1, &x, out), KCL_ERROR_SHAPE, "axis (j)", "lacks");
    check_error(kf_gradient(&g, kf_transpose(&g, f), x, 1, &x, out), KCL_ERROR_SHAPE, "axis (i)", "lacks");
    const kf_node *mixed = sum_over(KF_AXIS_I, kf_binary(&g, KF_MULT, x, p));
    check_error(kf_gradient(&g, mixed, kf_rat(&g, 1, 1), 1, &x, out), KCL_ERROR_DERIVATIVE, "parameter", "rows");
    check_error(kf_gradient(&g, mixed, kf_rat(&g, 1, 1), 1, &p, out), KCL_ERROR_DERIVATIVE, "parameter", "rows");
}
END_TEST

START_TEST(exponents_stay_in_range)
{
    const kf_node *x = kf_var(&g, 0, 1, KF_ROLE_I), *out;
    ck_assert_ptr_null(with(KF_POW, x, INT64_MIN, 0));
    ck_assert_ptr_nonnull(strstr(g.error.text, "Pow"));
    ck_assert_ptr_nonnull(strstr(g.error.text, "-9223372036854775808"));
    kf_clear_error(&g);
    ck_assert_ptr_null(with(KF_POW, x, (int64_t)INT32_MAX + 1, 0));
    kf_clear_error(&g);
    ck_assert_int_eq(kf_vjp(&g, with(KF_POW, x, INT32_MAX, 0), kf_rat(&g, 1, 1), 1, &x, &out), KCL_OK);
    /* The derivative of the least power has no node: an error, not another number. */
    ck_assert_int_eq(kf_vjp(&g, with(KF_POW, x, -INT32_MAX, 0), kf_rat(&g, 1, 1), 1, &x, &out), KCL_ERROR_SHAPE);
}
END_TEST

/* ---- Singular points and number formats -------------------------------------------------------------------------- */

static double derivative_at(const char *text, double at)
{
    restart(1);
    const kf_node *x = dense_var(&d, KF_ROLE_I, 1, at, at), *out = NULL;
    const kf_node *f = parsed(text, 1, (kf_binding[]){{"x", x}});
    ck_assert_msg(kf_vjp(&g, f, kf_rat(&g, 1, 1), 1, &x, &out) == KCL_OK, "%s", g.error.text);
    double *value = dense_interpret(&d, out), result = value[0];
    free(value);
    return result;
}

START_TEST(derivatives_at_singular_points_are_defined)
{
    ck_assert(derivative_at("Sqrt(x)", 0) == 0);
    ck_assert(derivative_at("Norm2(x)", 0) == 0);
    ck_assert(derivative_at("Norm2(SumT(x,3)*SumT(2,3))", 0) == 0);
    ck_assert(derivative_at("Rsqrt(x)", 0) == 0);
    ck_assert(derivative_at("Abs(x)", 0) == 0);
    ck_assert(derivative_at("Sign(x)", 0) == 0);
    ck_assert(derivative_at("Square(x)", 0) == 0);
    ck_assert(derivative_at("x**3", 0) == 0);
    ck_assert(derivative_at("x**1", 0) == 1);
    ck_assert(derivative_at("Pow(x,1)", 0) == 1);
    ck_assert(derivative_at("Pow(x,0)", 0) == 0);
    ck_assert(derivative_at("x**2.5", 0) == 0);
    ck_assert(derivative_at("Sqrt(SqDist(x,x))", 0.7) == 0);
    ck_assert(derivative_at("Grad(Norm2(x),x,1)", 0) == 0);
    ck_assert(derivative_at("Grad(Sqrt(x),x,1)", 0) == 0);
    ck_assert(derivative_at("Hypot(x,2*x)", 0) == 0);
    ck_assert(derivative_at("Grad(Hypot(x,2*x),x,1)", 0) == 0);
    ck_assert(derivative_at("Acosh(x)", 1) == 0);
    ck_assert(isnan(derivative_at("Acosh(x)", 0.5)) && isnan(derivative_at("Acosh(x)", -3)));
    ck_assert(isinf(derivative_at("Atanh(x)", 1)));
    ck_assert(derivative_at("Minimum(x,3*x)", 0) == 1); /* equal operands: the derivative of the first */
    ck_assert(derivative_at("Maximum(3*x,x)", 0) == 3);
    ck_assert(derivative_at("Maximum(x,3*x)", 2) == 3);
    ck_assert(derivative_at("Minimum(x,3*x)", 2) == 1);
    ck_assert(derivative_at("Ceil(x)+Trunc(x)", 2) == 0);
    ck_assert(derivative_at("And(x,x)+Or(x,x)+Not(x)", 0) == 0);
    ck_assert(derivative_at("SinXDivX(x)", 0) == 0);
    ck_assert_double_eq_tol(derivative_at("Grad(SinXDivX(x),x,1)", 0), -1.0 / 3, 1e-15);
    /* Equal bounds: a constant on either side. */
    ck_assert(derivative_at("Clamp(x,1,1)", 0.5) == 0);
    ck_assert(derivative_at("Clamp(x,1,1)", 2) == 0);
    ck_assert(isfinite(derivative_at("Clamp(x,1,1)", 1)));
    ck_assert(derivative_at("Atan2(x,x-x)", 0) == 0);
}
END_TEST

/* What is 0 by its form is left out, whatever stands beside it; all that a user wrote stays. */
START_TEST(zeros_by_form_are_left_out_of_derivatives)
{
    static const struct {
        const char *text, *by_x, *by_s;
    } cases[] = {
        {"Sign(x)*s", "0", "Sign(x)"},
        {"Floor(x)+x*s", "s", "x"},
        {"LessThan(x,s)*s", "0", "LessThan(x,s)"},
        {"Elem(Concat(x,s*s),0)", "1", "0"},
        {"Elem(ExtractT(x,1,3),0)*s", "0", "Elem(ExtractT(x,1,3),0)"},
        {"0*x+s", "0", "1"},
        {"(x-x)*s", "s-s", "0*x"},
        {"Pow(x,0)*s", "0", "1"},
        {"ComplexReal(ComplexMult(Real2Complex(x),Concat(s,x)))", "s", "x"},
        {"ComplexReal(ComplexMult(Real2Complex(x),Real2Complex(s)))", "s", "x"},
        {"ComplexReal(ComplexDivide(Concat(x,s),Real2Complex(s)))", "Inv(Square(s))*s", NULL},
    };
    for (size_t k = 0; k < KB_COUNT(cases); k++)
        for (int by_s = 0; by_s < 2; by_s++) {
            restart(1);
            const kf_node *x = dense_var(&d, KF_ROLE_P, 1, 1, 2), *s = dense_var(&d, KF_ROLE_P, 1, 1, 2), *want;
            const kf_binding names[] = {{"x", x}, {"s", s}};
            const kf_node *f = parsed(cases[k].text, 2, names), *v = by_s ? s : x, *one = kf_rat(&g, 1, 1), *got[2];
            if (by_s && !cases[k].by_s)
                continue;
            want = parsed(by_s ? cases[k].by_s : cases[k].by_x, 2, names);
            ck_assert_int_eq(kf_simplify(&g, 1, &want, &want), KCL_OK);
            ck_assert_int_eq(kf_vjp(&g, f, one, 1, &v, &got[0]), KCL_OK);
            ck_assert_int_eq(kf_diff(&g, f, v, one, &got[1]), KCL_OK);
            for (int m = 0; m < 2; m++) {
                kb_str text;
                kb_str_init(&text, NULL);
                kf_print(&text, kf_value(got[m]), NULL, NULL, 200);
                ck_assert_msg(kf_value(got[m]) == want, "%s, %s: %s", cases[k].text, m ? "forward" : "reverse",
                              kb_str_text(&text));
                kb_str_finish(&text);
            }
        }
}
END_TEST

/* A value that has lost its digits, or is too large to be squared, still has an exact derivative. */
START_TEST(derivatives_are_exact_at_the_ends_of_the_range)
{
    ck_assert(derivative_at("Expm1(x)", -60) == exp(-60));
    ck_assert(fabs(derivative_at("Erf(x)", 8) / (2 / sqrt(acos(-1)) * exp(-64)) - 1) < 1e-14);
    ck_assert(derivative_at("Erfc(x)", 8) == -derivative_at("Erf(x)", 8));
    ck_assert(derivative_at("Softplus(x)", -700) == exp(-700));
    ck_assert(derivative_at("Softplus(x)", 800) == 1);
    ck_assert(derivative_at("Sigmoid(x)", -700) == exp(-700));
    ck_assert(fabs(derivative_at("Hypot(x,x)", 1e300) / sqrt(2) - 1) < 1e-15);
    ck_assert(fabs(derivative_at("Acosh(x)", 1e300) * 1e300 - 1) < 1e-15);
    const double next = 1 + 0x1p-50;
    ck_assert(fabs(derivative_at("Acosh(x)", next) / (0x1p25 / sqrt(2)) - 1) < 1e-14);
    ck_assert(fabs(derivative_at("Atanh(x)", 1 - 0x1p-50) / 0x1p49 - 1) < 1e-14);
}
END_TEST

START_TEST(constants_are_not_rounded_to_float)
{
    ck_assert(derivative_at("x*0.1", 1) == 0.1);
    ck_assert(derivative_at("x*RatCst(1,3)", 1) == 1.0 / 3.0);
    ck_assert(derivative_at("x*16777217", 1) == 16777217);
    ck_assert(fabs(derivative_at("Exp2(x)", 0) - 0.693147180559945309417232121458L) < 1e-16L);
    ck_assert(fabs(derivative_at("Log2(x)", 1) - 1.44269504088896340735992468100L) < 1e-15L);
    ck_assert(derivative_at("x**1e-3", 1) == 1e-3);
}
END_TEST

/* KeOps cannot add a rational number and a whole one. */
START_TEST(rational_and_whole_numbers_are_added)
{
    ck_assert(derivative_at("(RatCst(1,3)+IntCst(1))*x", 1) == 4.0 / 3.0);
    ck_assert(derivative_at("(IntCst(1)+RatCst(1,3))*x", 1) == 4.0 / 3.0);
    ck_assert(derivative_at("(RatCst(1,3)-IntCst(1))*x", 1) == -2.0 / 3.0);
    ck_assert(derivative_at("(IntCst(1)-RatCst(1,3))*x", 1) == 2.0 / 3.0);
}
END_TEST

/* KeOps returns a component for each repetition. */
START_TEST(gradients_of_repeated_operands_are_summed)
{
    static const char *const texts[] = {"Powf(x,s)",  "Powf(s,x)",       "x**s",          "Atan2(x,s)",
                                        "Atan2(s,x)", "IfElse(x-1,s,x)", "IfElse(s,x,s)", "IfElse(x-1,s,s*s)"};
    for (size_t k = 0; k < KB_COUNT(texts); k++) {
        restart(k + 1);
        const kf_node *leaves[] = {dense_var(&d, KF_ROLE_I, 3, 0.3, 2), dense_var(&d, KF_ROLE_J, 1, 0.3, 2)};
        const kf_binding bindings[] = {{"x", leaves[0]}, {"s", leaves[1]}};
        const kf_node *f = parsed(texts[k], 2, bindings), *e = dense_var(&d, KF_ROLE_I, 3, 0.5, 1.5), *out = NULL;
        ck_assert_int_eq(kf_vjp(&g, f, e, 1, &leaves[1], &out), KCL_OK);
        ck_assert_int_eq(out->dim, 1);
        check_vjp(texts[k], f, 2, leaves, 2);
        check_jvp(texts[k], f, 2, leaves, 2);
    }
}
END_TEST

/* ---- Growth ------------------------------------------------------------------------------------------------------ */

static double derive_twice(int size, int kind, size_t *nodes)
{
    restart(1);
    const kf_node *x = kf_var(&g, 0, 3, KF_ROLE_I), *y = kf_var(&g, 1, 3, KF_ROLE_J), *f = x, *one, *two;
    const kf_node *e = kf_var(&g, 2, kind == 1 ? 1 : 3, KF_ROLE_P);
    for (int k = 0; k < size / 4; k++)
        f = kf_binary(&g, KF_ADD, kf_unary(&g, kind == 1 ? KF_COS : KF_SIN, f),
                      kf_binary(&g, KF_MULT, kf_rat(&g, k % 9 + 1, 10 + k % 7), k % 2 ? x : kind == 1 ? f : y));
    if (kind == 1)
        f = kf_dot(&g, f, f);
    *nodes = node_count(&g, f);
    double start = cpu_seconds();
    ck_assert_int_eq(kf_vjp(&g, f, e, 1, &x, &one), KCL_OK);
    ck_assert_int_eq(kf_vjp(&g, one, x, 1, &x, &two), KCL_OK);
    ck_assert_int_eq(kf_simplify(&g, 1, &two, &two), KCL_OK);
    return cpu_seconds() - start;
}

START_TEST(deriving_twice_takes_linear_time)
{
    double seconds[3];
    size_t nodes[3];
    for (int k = 0, size = 1000; k < 3; k++, size *= 10) {
        seconds[k] = derive_twice(size, _i, &nodes[k]);
        for (int repeat = 0; repeat < 4; repeat++)
            seconds[k] = KB_MIN(seconds[k], derive_twice(size, _i, &nodes[k]));
        printf("derive twice and simplify, kind %d, %zu nodes: %.2g s\n", _i, nodes[k], seconds[k]);
    }
    ck_assert_msg(seconds[2] < 60 * KB_MAX(seconds[1], 2e-3), "%g s for %zu nodes, %g s for %zu", seconds[1],
                  nodes[1], seconds[2], nodes[2]);
    ck_assert_msg(seconds[1] < 1, "%g s for %zu nodes", seconds[1], nodes[1]);
}
END_TEST

/* Sums of formulas of sums of formulas ..., or steps u <- u + sum_j(...), as flows take. */
static double gradient_of_steps(int steps, int kind, size_t *nodes)
{
    restart(1);
    const kf_node *x = kf_var(&g, 0, 1, KF_ROLE_I), *y = kf_var(&g, 1, 1, KF_ROLE_J), *u = x, *out[2];
    if (kind == 2) /* points that act on each other */
        y = kf_var(&g, 0, 1, KF_ROLE_J);
    for (int k = 0; k < steps; k++) {
        const kf_node *sum = sum_over(KF_AXIS_J, kf_unary(&g, KF_SIN, kf_binary(&g, KF_MULT, u, y)));
        u = kind == 0 ? kf_unary(&g, KF_COS, sum) : kf_binary(&g, KF_ADD, u, sum);
    }
    double start = cpu_seconds();
    ck_assert_int_eq(kf_gradient(&g, u, kf_rat(&g, 1, 1), 2, (const kf_node *[]){x, y}, out), KCL_OK);
    *nodes = g.count;
    return cpu_seconds() - start;
}

START_TEST(gradients_of_many_reductions_take_linear_time)
{
    size_t nodes[2];
    double few = gradient_of_steps(200, _i, &nodes[0]), many = gradient_of_steps(2000, _i, &nodes[1]);
    printf("gradient, kind %d, through 200 reductions: %zu nodes, %.2g s, through 2000: %zu nodes, %.2g s\n", _i,
           nodes[0], few, nodes[1], many);
    ck_assert_uint_lt(nodes[1], 11 * nodes[0]);
    ck_assert_msg(many < 60 * KB_MAX(few, 5e-3), "%g s for 200 reductions, %g s for 2000", few, many);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("derive");
    TCase *tests = tcase_create("derive");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, elementwise_operators, 0, KF_OP_COUNT);
    tcase_add_loop_test(tests, other_operators_and_composites, 0, KB_COUNT(formulas));
    tcase_add_loop_test(tests, functions_of_whole_vectors, 0, KB_COUNT(first_only));
    tcase_add_test(tests, no_name_is_forgotten);
    tcase_add_test(tests, random_formulas);
    tcase_add_loop_test(tests, gradients_through_reductions, 0, KB_COUNT(chains));
    tcase_add_test(tests, random_formulas_with_reductions);
    tcase_add_test(tests, a_lost_axis_counts_its_terms);
    tcase_add_test(tests, an_array_in_two_roles_has_one_gradient);
    tcase_add_test(tests, second_derivatives_are_symmetric);
    tcase_add_test(tests, a_variable_that_does_not_occur_has_a_zero_gradient);
    tcase_add_test(tests, an_index_is_a_constant_and_has_no_gradient_of_its_own);
    tcase_add_test(tests, smallest_values_are_derived_through_their_indices);
    tcase_add_test(tests, reductions_are_leaves_of_vjp);
    tcase_add_test(tests, errors_say_what_does_not_fit);
    tcase_add_test(tests, exponents_stay_in_range);
    tcase_add_test(tests, zeros_by_form_are_left_out_of_derivatives);
    tcase_add_test(tests, derivatives_at_singular_points_are_defined);
    tcase_add_test(tests, derivatives_are_exact_at_the_ends_of_the_range);
    tcase_add_test(tests, constants_are_not_rounded_to_float);
    tcase_add_test(tests, rational_and_whole_numbers_are_added);
    tcase_add_test(tests, gradients_of_repeated_operands_are_summed);
    tcase_add_loop_test(tests, deriving_twice_takes_linear_time, 0, 2);
    tcase_add_loop_test(tests, gradients_of_many_reductions_take_linear_time, 0, 3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
