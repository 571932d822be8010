/* SPDX-License-Identifier: MIT */
/*
 * Derivatives of formulas against differences of values by definition, in long double: of every operator with every
 * broadcast, of random formulas; to the second order.
 */
#include "derive_support.h"
#include "names.h"

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
           "%2d elementwise operators  test_interp  elementwise_operators       run-device-operators, test_every_operator\n"
           "%2d other operators        test_interp  other_operators_...         the same\n"
           "%2d composed of others     dense.h      other_operators_...         by their operators\n",
           counts[ELEMENTWISE], counts[OTHERS], counts[COMPOSED]);
}
END_TEST

/* ---- Random formulas ------------------------------------------------------------------------------------------------ */

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
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
