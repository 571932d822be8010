/* SPDX-License-Identifier: MIT */
/* Every error of the parser, with the place of its caret. */
#include "parse_support.h"

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

#define REDUCTIONS                                                                                                     \
    "Sum_Reduction, LogSumExp_Reduction, Min_Reduction, ArgMin_Reduction, KMin_Reduction, ArgKMin_Reduction, "         \
    "MeanKMin_Reduction, Max_Reduction, ArgMax_Reduction, KMax_Reduction, ArgKMax_Reduction, MeanKMax_Reduction, "     \
    "LogSumExpWeight_Reduction, "                                                                                      \
    "SumSoftMaxWeight_Reduction, Min_ArgMin_Reduction, Max_ArgMax_Reduction, KMin_ArgKMin_Reduction, "                 \
    "KMax_ArgKMax_Reduction, Max_SumShiftExp_Reduction, Max_SumShiftExpWeight_Reduction, Zero_Reduction, "             \
    "Identity_Reduction"

static const struct {
    kcl_status status;
    const char *text;
    int column;
    const char *sentence;
} formula_errors[] =
    {
        {KCL_ERROR_SYNTAX, "x+", 2, "the text ends where a formula is expected"},
        {KCL_ERROR_SYNTAX, "x + * y", 4, "a formula is expected, not '*'"},
        {KCL_ERROR_SYNTAX, "*x", 0, "a formula is expected, not '*'"},
        {KCL_ERROR_SYNTAX, "x**", 3, "the text ends where a formula is expected"},
        {KCL_ERROR_SYNTAX, "x***y", 3, "a formula is expected, not '*'"},
        {KCL_ERROR_SYNTAX, "()", 1, "a formula is expected, not ')'"},
        {KCL_ERROR_SYNTAX, "x*(y+b", 6, "the text ends where an operator or ')' is expected"},
        {KCL_ERROR_SYNTAX, "(x;y)", 2, "an operator or ')' is expected, not ';'"},
        {KCL_ERROR_SYNTAX, "x)+y", 1, "there is no '(' for this ')'"},
        {KCL_ERROR_SYNTAX, "x y", 2, "an operator or the end of the formula is expected, not 'y'"},
        {KCL_ERROR_SYNTAX, "2x", 1, "an operator or the end of the formula is expected, not 'x'"},
        {KCL_ERROR_SYNTAX, "1.2.3", 3, "an operator or the end of the formula is expected, not '.'"},
        {KCL_ERROR_SYNTAX, "x,y", 1, "an operator or the end of the formula is expected, not ','"},
        {KCL_ERROR_SYNTAX, "x;y", 1, "one formula is expected; ';' separates reductions"},
        {KCL_ERROR_SYNTAX, "x=y", 1, "there is no operator '='; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "x===y", 3, "there is no operator '='; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "x<<y", 1, "there is no operator '<<'; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "x<>y", 1, "there is no operator '<'; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "x>>y", 1, "there is no operator '>>'; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "x//y", 1, "there is no operator '//'; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "x^2", 1,
         "there is no operator '^'; the operators are + - * / % | ** == != < <= > >=, powers are written **"},
        {KCL_ERROR_SYNTAX, "x@y", 1, "there is no operator '@'; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "x<", 2, "the text ends where a formula is expected"},
        {KCL_ERROR_SYNTAX, "x<y and y<p", 4, "there is no operator 'and': And(f,g) is 1 where both are not 0"},
        {KCL_ERROR_SYNTAX, "x<y or y<p", 4, "there is no operator 'or': Or(f,g) is 1 where one of them is not 0"},
        {KCL_ERROR_SYNTAX, "not x<y", 0, "there is no operator 'not': Not(f) is 1 where f is 0"},
        {KCL_ERROR_SYNTAX, "x if p else y", 2, "there is no operator 'if': Where(c,f,g) is f where c is not 0, else g"},
        {KCL_ERROR_SHAPE, "x == Concat(x,p)", 2,
         "'==': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
        {KCL_ERROR_SYNTAX, "x/0", 2, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "x + y/-0.0*p", 6, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "x%Zero(3)", 2, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "Divide(x, 0)", 10, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "Inv(0)", 4, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "Mod(x,0,p)", 6, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "x+[1]", 2, "a formula is expected, not '['"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y)", 0,
         "TensorDot needs two formulas, a list of sizes and of axes to sum over for each, and perhaps a permutation, 2 "
         "given"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[0],[0],[],0)", 0,
         "TensorDot needs two formulas, a list of sizes and of axes to sum over for each, and perhaps a permutation, 8 "
         "given"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,3,[3],[0],[0])", 14, "a list of sizes, as [2,3], is expected, not '3'"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[0],x)", 26, "a list of axes, as [0,1] or [], is expected, not 'x'"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3 1],[3],[0],[0])", 17, "',' or ']' is expected, not '1'"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3,,],[3],[0],[0])", 17, "a whole number is expected, not ','"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[,],[3],[0],[0])", 15, "a whole number is expected, not ','"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,(3),(3,),(0,),(0,))", 14,
         "a list of sizes, as [2,3], is expected, not a number in parentheses; one number is [3] or (3,)"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,(3,1 1),[3],[0],[0])", 19, "',' or ')' is expected, not '1'"},
        {KCL_ERROR_SYNTAX, "Kron(x,y,(3,),(3,),,)", 18, "an operator or ')' is expected, not ','"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3", 16, "the text ends where ',' or ']' is expected"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3,1,1,1,1,1,1,1,1],[3],[0],[0])", 14, "a list has more than 8 numbers"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[0],[])", 0,
         "TensorDot: 1 axes of the first are summed over, and 0 of the second: they must be as many"},
        {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[],[],[0])", 0,
         "TensorDot: the permutation has 1 numbers, for the 2 axes of the product"},
        {KCL_ERROR_ARGUMENT, "p+TensorDot(x,y,[3],[3],[],[],[1,1])", 2,
         "TensorDot: (1, 1) is no permutation of the 2 axes of the product, 0 to 1"},
        {KCL_ERROR_ARGUMENT, "TensorDot(x,y,[3],[3],[],[],[0,-1])", 0,
         "TensorDot: (0, -1) is no permutation of the 2 axes of the product, 0 to 1"},
        {KCL_ERROR_SHAPE, "TensorDot(x,y,[3,2],[3],[0],[0])", 0,
         "TensorDot: the shape (3, 2) is not one of 3 components, as the operand has"},
        {KCL_ERROR_SHAPE, "TensorDot(x,y,[3],[0],[0],[0])", 0,
         "TensorDot: the shape (0) is not one of 3 components, as the operand has"},
        {KCL_ERROR_SHAPE, "TensorDot(x,Concat(y,p),[3],[4],[0],[0])", 0,
         "TensorDot: axis 0 of the first has size 3, axis 0 of the second has 4"},
        {KCL_ERROR_SHAPE, "TensorDot(x,y,[3],[3],[1],[0])", 0,
         "TensorDot: axis 1 of an inner shape (3) is not between -1 and 0"},
        {KCL_ERROR_ARGUMENT, "TensorDot(x,y,[3,1],[3,1],[0,0],[0,1])", 0,
         "TensorDot: an axis is summed over twice (0, 1)"},
        {KCL_ERROR_SHAPE, "TensorDot(x,y,[3,1,1,1,1],[3,1,1,1,1],[0],[0])", 0,
         "TensorDot: the product has 9 axes, those that are summed over included: more than 8"},
        {KCL_ERROR_SYNTAX, "Kron(x,y,[3])", 0, "Kron needs two formulas, and a list of sizes for each, 3 given"},
        {KCL_ERROR_SHAPE, "Kron(x,y,[3],[3,1])", 0, "Kron: the inner shapes have 1 and 2 axes, it must be as many"},
        {KCL_ERROR_SYNTAX, "x\"", 1, "the character \" has no meaning in a formula"},
        {KCL_ERROR_SYNTAX, "x+\x01", 2, "the byte 0x01 has no meaning in a formula, which is ASCII text"},
        {KCL_ERROR_SYNTAX, "Epx(x)", 0, "unknown name 'Epx'; did you mean 'Exp'?"},
        {KCL_ERROR_SYNTAX, "p*exp(x)", 2, "unknown name 'exp'; did you mean 'Exp'?"},
        {KCL_ERROR_SYNTAX, "1+SqDits(x,y)", 2, "unknown name 'SqDits'; did you mean 'SqDist'?"},
        {KCL_ERROR_SYNTAX, "x+X", 2, "unknown name 'X'; did you mean 'x'?"},
        {KCL_ERROR_SYNTAX, "x+z", 2, "unknown name 'z'; the variables are x, y, p, b"},
        {KCL_ERROR_SYNTAX, "grad(x,x)", 0, "unknown name 'grad'; did you mean 'Grad'?"},
        {KCL_ERROR_SYNTAX, "x+sum_Reduction(x,0)", 2, "unknown name 'sum_Reduction'; did you mean 'Sum_Reduction'?"},
        {KCL_ERROR_SYNTAX, "Median_Reduction(x,0)", 0, "unknown reduction 'Median_Reduction'; there is " REDUCTIONS},
        {KCL_ERROR_SYNTAX, "Reduction(x,0,1,0)", 0, "unknown reduction 'Reduction'; there is " REDUCTIONS},
        {KCL_ERROR_SYNTAX, "x+Exp", 2, "Exp is an operator: its arguments follow in parentheses"},
        {KCL_ERROR_SYNTAX, "p(x)", 0, "'p' is a variable, not an operator: write * to multiply"},
        {KCL_ERROR_SYNTAX, "x+Vj(1,3)", 2,
         "'Vj' declares an alias; in a formula a variable is its alias or Var(index,dimension,role)"},
        {KCL_ERROR_SYNTAX, "Elem(x)", 0, "Elem needs 1 formula and 1 whole number, 1 given"},
        {KCL_ERROR_SYNTAX, "x+Elem(x,)", 2, "Elem needs 1 formula and 1 whole number, 1 given"},
        {KCL_ERROR_SYNTAX, "Elem(x,1,2)", 0, "Elem needs 1 formula and 1 whole number, 3 given"},
        {KCL_ERROR_SYNTAX, "Exp()", 0, "Exp needs 1 formula, 0 given"},
        {KCL_ERROR_SYNTAX, "Exp(x,(y,b))", 0, "Exp needs 1 formula, 2 given"},
        {KCL_ERROR_SYNTAX, "Exp(x,,)", 5, "an operator or ')' is expected, not ','"},
        {KCL_ERROR_SYNTAX, "(x,)", 2, "an operator or ')' is expected, not ','"},
        {KCL_ERROR_SYNTAX, "Exp(,)", 4, "a formula is expected, not ','"},
        {KCL_ERROR_SYNTAX, "Exp(,x)", 4, "a formula is expected, not ','"},
        {KCL_ERROR_SYNTAX, "Exp(x", 5, "the text ends where an operator or ')' is expected"},
        {KCL_ERROR_SYNTAX, "Concat(x", 8, "the text ends where an operator or ',' is expected"},
        {KCL_ERROR_SYNTAX, "Concat(x;y)", 8, "an operator or ',' is expected, not ';'"},
        {KCL_ERROR_SYNTAX, "SqDist(x)", 0, "SqDist needs 2 formulas, 1 given"},
        {KCL_ERROR_SYNTAX, "RatCst(1)", 0, "RatCst needs 2 whole numbers, 1 given"},
        {KCL_ERROR_SYNTAX, "Elem(x,y)", 7, "a whole number is expected, not 'y'"},
        {KCL_ERROR_SYNTAX, "Elem(x,1.5)", 7, "a whole number is expected, not 1.5"},
        {KCL_ERROR_SYNTAX, "Elem(x,-1e2)", 7, "a whole number is expected, not -1e2"},
        {KCL_ERROR_SYNTAX, "Elem(x,9223372036854775808)", 7, "a whole number is expected, not 9223372036854775808"},
        {KCL_ERROR_SHAPE, "Elem(x,1+2)", 0, "Elem: index 3 is not between 0 and 2"},
        {KCL_ERROR_SYNTAX, "Elem(x,1+)", 9, "a whole number is expected, not ')'"},
        {KCL_ERROR_SYNTAX, "Elem(x,1+b)", 9, "a whole number is expected, not 'b'"},
        {KCL_ERROR_SYNTAX, "Elem(x,(1+0.5))", 10, "a whole number is expected, not 0.5"},
        {KCL_ERROR_SYNTAX, "Elem(x,(1)", 10, "the text ends where ')' is expected"},
        {KCL_ERROR_SYNTAX, "Elem(x,(1", 9, "the text ends where an operator or ')' is expected"},
        {KCL_ERROR_SYNTAX, "Elem(x,4/2)", 8, "a whole number is expected: '/' does not give one, '//' does"},
        {KCL_ERROR_SYNTAX, "Elem(x,1<2)", 8, "a whole number is expected: whole numbers have + - * // % **"},
        {KCL_ERROR_SYNTAX, "Elem(x,1|2)", 8, "a whole number is expected: whole numbers have + - * // % **"},
        {KCL_ERROR_SYNTAX, "Elem(x,1^2)", 8,
         "there is no operator '^'; the operators are + - * / % | ** == != < <= > >=, powers are written **"},
        {KCL_ERROR_SYNTAX, "Elem(x,1//(2-2))", 11, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "Elem(x,1%0)", 9, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "Elem(x,2**-1)", 10, "a whole number is expected: a power with a negative exponent is none"},
        {KCL_ERROR_SYNTAX, "Elem(x,0*9223372036854775807+1+9223372036854775807)", 30,
         "a whole number is expected: this one has more than 64 bits"},
        {KCL_ERROR_SYNTAX, "Elem(x,0-9223372036854775807-2)", 28,
         "a whole number is expected: this one has more than 64 bits"},
        {KCL_ERROR_SYNTAX, "Elem(x,-(-9223372036854775807-1))", 7,
         "a whole number is expected: this one has more than 64 bits"},
        {KCL_ERROR_SYNTAX, "Elem(x,(-9223372036854775807-1)//-1)", 31,
         "a whole number is expected: this one has more than 64 bits"},
        {KCL_ERROR_SYNTAX, "Elem(x,3037000500*3037000500)", 17,
         "a whole number is expected: this one has more than 64 bits"},
        {KCL_ERROR_SYNTAX, "Elem(x,2**63)", 8, "a whole number is expected: this one has more than 64 bits"},
        {KCL_ERROR_SYNTAX, "Elem(x,10**999999999999999999)", 9,
         "a whole number is expected: this one has more than 64 bits"},
        {KCL_ERROR_SYNTAX, "7//x", 1, "there is no operator '//'; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SYNTAX, "7//0", 3, "this divides by 0"},
        {KCL_ERROR_SYNTAX, "1.5//1", 3, "there is no operator '//'; the operators are + - * / % | ** == != < <= > >="},
        {KCL_ERROR_SHAPE, "Elem(x, 3)", 0, "Elem: index 3 is not between 0 and 2"},
        {KCL_ERROR_SHAPE, "1 + RatCst(1,0)", 4, "RatCst: the denominator is 0"},
        {KCL_ERROR_SHAPE, "1 + IntInv(0)", 4, "IntInv: the denominator is 0"},
        {KCL_ERROR_SHAPE, "OneHot(b,0)", 0, "OneHot: dimension 0 is not between 1 and 16777216"},
        {KCL_ERROR_SHAPE, "1 + SqDist(x,Concat(x,p))", 4,
         "SqDist: the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
        {KCL_ERROR_SHAPE, "x % Concat(x,p)", 2,
         "'%': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
        {KCL_ERROR_SHAPE, "x < y > Concat(x,p)", 6,
         "'>': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
        {KCL_ERROR_SHAPE, "p*1e999", 2, "a constant must be a finite number, or inf"},
        {KCL_ERROR_SYNTAX,
         "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000.00000000"
         "0000000000000000",
         -1, "the number has too many digits"},
        {KCL_ERROR_SHAPE, "x + Concat(x,p)", 2,
         "'+': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
        {KCL_ERROR_SHAPE, "b+(x|Concat(x,p))", 4,
         "'|': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
        {KCL_ERROR_SHAPE, "x ** Concat(x,p)", 2,
         "'**': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
        {KCL_ERROR_SYNTAX, "Var(0,3)", 0, "Var needs 3 whole numbers, 2 given"},
        {KCL_ERROR_SYNTAX, "Var(0,3,0", 9, "the text ends where ')' is expected"},
        {KCL_ERROR_SYNTAX, "Var(k,3,0)", 4, "a variable's index (a whole number) is expected, not 'k'"},
        {KCL_ERROR_SHAPE, "Var(-1,3,0)", 4, "index -1 of a variable is not between 0 and 65535"},
        {KCL_ERROR_SHAPE, "Var(65536,3,0)", 4, "index 65536 of a variable is not between 0 and 65535"},
        {KCL_ERROR_SHAPE, "Var(9,0,0)", 6, "dimension 0 of a variable is not between 1 and 16777216"},
        {KCL_ERROR_SHAPE, "Var(9,16777217,0)", 6, "dimension 16777217 of a variable is not between 1 and 16777216"},
        {KCL_ERROR_SHAPE, "Var(9,3,3)", 8, "role 3 of a variable is not 0 (i), 1 (j) or 2 (parameter)"},
        {KCL_ERROR_SHAPE, "x+Var(0,2,0)", 2, "variable 0 is both Vi(0,3) and Vi(0,2): it has one role and dimension"},
        {KCL_ERROR_SHAPE, "Var(9,3,1)*Var(9,3,2)", 11,
         "variable 9 is both Vj(9,3) and Pm(9,3): it has one role and dimension"},
        {KCL_ERROR_SYNTAX, "Grad(x)", 0,
         "Grad needs a formula or reduction F, a variable v, and perhaps a cotangent e, 1 given"},
        {KCL_ERROR_SYNTAX, "Grad(x,x,x,x)", 0,
         "Grad needs a formula or reduction F, a variable v, and perhaps a cotangent e, 4 given"},
        {KCL_ERROR_SYNTAX, "Grad(x,y+x,x)", 7, "the second argument of Grad must be a variable"},
        {KCL_ERROR_SYNTAX, "Grad(x,1,x)", 7, "the second argument of Grad must be a variable"},
        {KCL_ERROR_SHAPE, "Grad(x,x,Concat(x,p))", 9,
         "Grad: the formula has dimension 3, the cotangent has 4; they must be equal"},
        {KCL_ERROR_SHAPE, "AdjointOperator(x,x,Concat(x,p))", 16,
         "AdjointOperator: the formula has dimension 3, the cotangent has 4; they must be equal"},
        {KCL_ERROR_SHAPE, "Diff(x,x,Concat(x,p))", 9,
         "Diff: derivative in a direction: the variable has dimension 3, the direction has 4; they must be equal, or "
         "that "
         "of the direction 1"},
        {KCL_ERROR_SYNTAX, "x+Min_ArgMin_Reduction(x|b,0)", 2, "two results are no formula: name a reduction of one"},
        {KCL_ERROR_SYNTAX, "Min_ArgMin_Reduction(x|b,0)", 0, "two results are no formula: name a reduction of one"},
        {KCL_ERROR_DERIVATIVE, "Grad(Exp(Sum_Reduction(x*b,0)),x,x)", 5,
         "the variable is in a reduction within the formula: Grad is of a reduction around it, such as "
         "Identity_Reduction(F,0)"},
        {KCL_ERROR_DERIVATIVE, "AdjointOperator(Sum_Reduction(x*b,0),x,x)", 16,
         "AdjointOperator: the formula depends on the variable through a reduction"},
},
  reduction_errors[] =
      {
          {KCL_ERROR_SYNTAX, "x", 0,
           "a reduction is expected, such as Sum_Reduction(F,0), not a formula; Identity_Reduction(F,0) is one of what "
           "needs none"},
          {KCL_ERROR_SYNTAX, "Sum_Reduction(x,0);x*y", 19,
           "a reduction is expected, such as Sum_Reduction(F,0), not a formula; Identity_Reduction(F,0) is one of what "
           "needs none"},
          {KCL_ERROR_SYNTAX, "Sum_Reduction(x,0);;", 19, "a formula is expected, not ';'"},
          {KCL_ERROR_SYNTAX, "Sum_Reduction(x,0) x", 19, "an operator or the end of the formula is expected, not 'x'"},
          {KCL_ERROR_SYNTAX, "Sum_Reduction(x)", 0, "Sum_Reduction needs 1 formula and 1 whole number, 1 given"},
          {KCL_ERROR_SYNTAX, "Sum_Reduction(x,3)", 16,
           "tag 3 of a reduction is not 0 (a row per i), 1 (a row per j) or 2 (a single row)"},
          {KCL_ERROR_SYNTAX, "Sum_Reduction(x,y)", 16, "the reduction's tag (0, 1 or 2) is expected, not 'y'"},
          {KCL_ERROR_SYNTAX, "Grad(Sum_Reduction(x*b,0),Sum_Reduction(x,0))", 26,
           "the second argument of Grad must be a variable"},
          {KCL_ERROR_SHAPE, "Grad(Sum_Reduction(x*b,0),x,y)", 28,
           "the cotangent depends on j, over which the result is reduced"},
          {KCL_ERROR_SHAPE, "Grad(Sum_Reduction(x*b,0),x,Concat(x,p))", 28,
           "Grad: the expression has dimension 3, the cotangent has 4; they must be equal"},
          {KCL_ERROR_SHAPE, "Grad(Sum_Reduction(x*b,1),x,x)", 28,
           "the cotangent depends on i, over which the result is reduced"},
          {KCL_ERROR_SHAPE, "LogSumExpWeight_Reduction(x*b,y,0)", 0,
           "LogSumExpWeight_Reduction: the exponent has dimension 3, it must be 1: weigh its components one by one "
           "(Elem)"},
          {KCL_ERROR_SYNTAX, "LogSumExpWeight_Reduction(b,0)", 0,
           "LogSumExpWeight_Reduction needs 2 formulas and 1 whole number, 2 given"},
          {KCL_ERROR_SHAPE, "LogSumExp_Reduction(x,b,0)", 0,
           "LogSumExp_Reduction: the exponent has dimension 3, it must be 1: weigh its components one by one (Elem)"},
          {KCL_ERROR_ARGUMENT, "KMin_ArgKMin_Reduction(x*b,0,1)", 0,
           "KMin_ArgKMin_Reduction: K is 0, it must be 1 or more"},
          {KCL_ERROR_SYNTAX, "LogSumExp_Reduction(b,x,y)", 22, "the reduction's tag (0, 1 or 2) is expected"},
          {KCL_ERROR_SYNTAX, "SumSoftMaxWeight_Reduction(b,x,3)", 31,
           "tag 3 of a reduction is not 0 (a row per i), 1 (a row per j) or 2 (a single row)"},
          {KCL_ERROR_ARGUMENT, "KMin_Reduction(x*b,0,1)", 0, "KMin_Reduction: K is 0, it must be 1 or more"},
          {KCL_ERROR_SYNTAX, "KMin_Reduction(x*b,0)", 0, "KMin_Reduction needs 1 formula and 2 whole numbers, 2 given"},
          {KCL_ERROR_SYNTAX, "Grad(Min_ArgMin_Reduction(x*b,0),x)", 5,
           "Grad differentiates one result: values and indices are two"},
          {KCL_ERROR_SHAPE, "Max_SumShiftExp_Reduction(x,0)", 26,
           "Max_SumShiftExp_Reduction: the exponent has dimension 3, it must be 1"},
          {KCL_ERROR_SYNTAX, "Max_SumShiftExp_Reduction(b)", 0,
           "Max_SumShiftExp_Reduction needs a formula F, a tag, and perhaps a weight, 1 given"},
          {KCL_ERROR_SYNTAX, "Max_SumShiftExpWeight_Reduction(b,3,x)", 34,
           "tag 3 of a reduction is not 0 (a row per i), 1 (a row per j) or 2 (a single row)"},
          {KCL_ERROR_SYNTAX, "Max_SumShiftExp_Reduction(b,x)", 28,
           "the reduction's tag (0, 1 or 2) is expected, not 'x'"},
          {KCL_ERROR_SHAPE, "Zero_Reduction(0,1)", 0, "Zero_Reduction: dimension 0 is not between 1 and 16777216"},
          {KCL_ERROR_SYNTAX, "Zero_Reduction(x,1)", 15, "a dimension (a whole number) is expected, not 'x'"},
          {KCL_ERROR_SYNTAX, "Zero_Reduction(3)", 0, "Zero_Reduction needs 2 whole numbers, 1 given"},
          {KCL_ERROR_SHAPE, "Identity_Reduction(x*b,0)", 19,
           "Identity_Reduction reduces nothing: with tag 0 its formula must not depend on j"},
          {KCL_ERROR_SHAPE, "Identity_Reduction(Sum_Reduction(x*b,0),2)", 19,
           "Identity_Reduction reduces nothing: with tag 2 its formula must not depend on i"},
          {KCL_ERROR_SYNTAX, "Identity_Reduction(Min_ArgMin_Reduction(b,0),2)", 19,
           "Identity_Reduction is of one result: values and indices are two"},
          {KCL_ERROR_SYNTAX, "Identity_Reduction(x)", 0,
           "Identity_Reduction needs 1 formula and 1 whole number, 1 given"},
          {KCL_ERROR_SYNTAX, "ArgMin_Reduction(x)", 0, "ArgMin_Reduction needs 1 formula and 1 whole number, 1 given"},
          {KCL_ERROR_DERIVATIVE, "Grad(ArgMin_Reduction(x*b,0),x,x)", 31,
           "Grad: the result of ArgMin_Reduction is a whole number: it jumps where it changes and has no gradient"},
},
  alias_errors[] = {
      {KCL_ERROR_SYNTAX, "3 = Vi(3)", 0, "an alias such as x = Vi(3) is expected, not '3'"},
      {KCL_ERROR_SYNTAX, "x", 0,
       "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index first, or "
       "Var(index,dimension,role)"},
      {KCL_ERROR_SYNTAX, "x =", 3,
       "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index first, or "
       "Var(index,dimension,role)"},
      {KCL_ERROR_SYNTAX, "x = Vk(3)", 4,
       "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index first, or "
       "Var(index,dimension,role)"},
      {KCL_ERROR_SYNTAX, "x = Vi", 4, "Vi is an operator: its arguments follow in parentheses"},
      {KCL_ERROR_SYNTAX, "x = Vi()", 4, "Vi needs a dimension, or an index and a dimension, 0 given"},
      {KCL_ERROR_SYNTAX, "x = Vi(3,4,5)", 4, "Vi needs a dimension, or an index and a dimension, 3 given"},
      {KCL_ERROR_SYNTAX, "x = Var(0,3)", 4, "Var needs 3 whole numbers, 2 given"},
      {KCL_ERROR_SYNTAX, "x = Vi(3", 8, "the text ends where ')' is expected"},
      {KCL_ERROR_SYNTAX, "x = Vi(3) y", 10, "the end of the alias is expected, not 'y'"},
      {KCL_ERROR_SYNTAX, "x = Vi(d)", 7, "a variable's dimension (a whole number) is expected, not 'd'"},
      {KCL_ERROR_SYNTAX, "x = Vi(2.5)", 7, "a variable's dimension (a whole number) is expected, not 2.5"},
      {KCL_ERROR_SHAPE, "x = Vi(2*3-6)", 7, "dimension 0 of a variable is not between 1 and 16777216"},
      {KCL_ERROR_SYNTAX, "x = Vi((3,))", 9, "an operator or ')' is expected, not ','"},
      {KCL_ERROR_SYNTAX, "x = Vi(2*x)", 9, "a variable's dimension (a whole number) is expected, not 'x'"},
      {KCL_ERROR_SHAPE, "x = Vi(0)", 7, "dimension 0 of a variable is not between 1 and 16777216"},
      {KCL_ERROR_SHAPE, "x = Vi(-3)", 7, "dimension -3 of a variable is not between 1 and 16777216"},
      {KCL_ERROR_SHAPE, "x = Vi(0,16777217)", 9, "dimension 16777217 of a variable is not between 1 and 16777216"},
      {KCL_ERROR_SHAPE, "x = Vi(-1,3)", 7, "index -1 of a variable is not between 0 and 65535"},
      {KCL_ERROR_SHAPE, "x = Var(0,3,4)", 12, "role 4 of a variable is not 0 (i), 1 (j) or 2 (parameter)"},
      {KCL_ERROR_SYNTAX, "Exp = Vi(3)", 0, "'Exp' has a meaning in formulas; choose another name"},
      {KCL_ERROR_SYNTAX, "Grad = Vi(3)", 0, "'Grad' has a meaning in formulas; choose another name"},
      {KCL_ERROR_SYNTAX, "Vi = Vi(3)", 0, "'Vi' has a meaning in formulas; choose another name"},
      {KCL_ERROR_SYNTAX, "My_Reduction = Vi(3)", 0, "'My_Reduction' has a meaning in formulas; choose another name"},
      {KCL_ERROR_SYNTAX, "a234567890123456789012345678901234567890123456789012345678901234 = Vi(3)", 0,
       "the name of an alias has at most 63 letters"},
};

static void check_error(const char *text, kcl_status got, kcl_status status, int column, const char *sentence)
{
    char want[sizeof err.text];
    if (column >= 0)
        snprintf(want, sizeof want, "%s\n%s\n%*s^", sentence, text, column, "");
    else
        snprintf(want, sizeof want, "%s\n%.100s...\n^", sentence, text);
    for (char *c = strchr(want, '\n'); *c; c++)
        if (*c == '\x01')
            *c = '?';
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(got, status);
    ck_assert_int_eq(err.status, status);
    ck_assert_int_eq(g.error.status, KCL_OK);
}

START_TEST(errors_in_formulas)
{
    const kf_node *f = x;
    const char *text = formula_errors[_i].text;
    kcl_status status = kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err);
    check_error(text, status, formula_errors[_i].status, formula_errors[_i].column, formula_errors[_i].sentence);
    ck_assert_ptr_eq(f, x);
    ck_assert_int_eq(next_index, 4);
}
END_TEST

/* KeOps evaluates texts as Python, whatever they do. */
/* Every name that is refused, for sizes, parameters or types, is the first word of the error; operators have signs. */
enum { OPERANDS = 7, PARAMS = 10 };

static const char *const refused_operands[OPERANDS] = {"v1", "v2", "v3", "v5", "v9", "p", "k"};
static const char *const refused_params[PARAMS] = {
    "-9223372036854775807-1", "-1", "0", "1", "2", "4", "33", "16777216", "16777217", "9223372036854775807"};

typedef struct refusals {
    kf_binding names[OPERANDS];
    int names_tried, refused;
} refusals;

static bool is_refused(refusals *r, const char *name, const char *arguments)
{
    char text[400];
    const kf_node *f = NULL;
    kf_parsed_reduction results[2];
    const size_t length = strlen(name);
    size_t count;
    snprintf(text, sizeof text, "%s(%s)", name, arguments);
    if ((strstr(name, "_Reduction")
             ? kf_parse_reductions(&g, text, OPERANDS, r->names, &next_index, &count, results, &err)
             : kf_parse_formula(&g, text, OPERANDS, r->names, &next_index, &f, &err)) == KCL_OK)
        return false;
    ck_assert_msg(strncmp(err.text, name, length) == 0 && (err.text[length] == ':' || err.text[length] == ' '),
                  "%s is refused so: %s", text, err.text);
    return true;
}

static void refuse_operator(void *user, const char *text)
{
    refusals *r = user;
    kf_name name;
    char arguments[300];
    int refused = 0, choices = 1;
    ck_assert(kf_find_name(text, strlen(text), &name));
    const int places = name.arity + KB_MAX(name.params, name.params < 0 ? 5 - name.params : 0);
    if (!places)
        return; /* IndexI and IndexJ */
    for (int k = 0; k < places; k++)
        choices *= k < name.arity ? OPERANDS : name.params < 0 || name.params > 2 ? 1 : PARAMS;
    for (int choice = 0; choice < choices; choice++) {
        int rest = choice, n = 0;
        for (int k = 0; k < places; k++) {
            const bool is_operand = k < name.arity, varies = is_operand || (name.params >= 0 && name.params <= 2);
            const int count = is_operand ? OPERANDS : PARAMS;
            /* For layouts: one axis, offset 7, size 2, stride 3, perhaps dimension 4. For Index: 0, 0, 0. */
            static const char *const layout[] = {"1", "7", "2", "3", "4"};
            const char *value = is_operand        ? refused_operands[rest % count]
                                : varies          ? refused_params[rest % count]
                                : name.params < 0 ? layout[KB_MIN(k - name.arity, 4)]
                                                  : "0";
            rest /= varies ? count : 1;
            if (name.params < 0 && k - name.arity > 3 + (name.params == KF_LAYOUT_AND_DIM))
                continue;
            n += snprintf(arguments + n, sizeof arguments - (size_t)n, "%s%s", k ? "," : "", value);
        }
        refused += is_refused(r, text, arguments);
    }
    ck_assert_msg(refused || strcmp(text, "IntCst") == 0, "%s is never refused", text);
    r->names_tried++;
    r->refused += refused;
}

static void refuse_reduction(void *user, const char *text)
{
    refusals *r = user;
    char arguments[300];
    int refused = 0;
    for (int a = 0; a < OPERANDS; a++) {
        snprintf(arguments, sizeof arguments, "%s,2", refused_operands[a]);
        if (strncmp(text, "Zero", 4) != 0)
            refused += is_refused(r, text, arguments);
        for (int b = 0; b < PARAMS; b++) {
            snprintf(arguments, sizeof arguments, "%s,%s,2", refused_operands[a], refused_params[b]);
            if (strstr(text, "KMin") || strstr(text, "KMax"))
                refused += is_refused(r, text, arguments);
        }
        for (int b = 0; b < OPERANDS; b++) {
            snprintf(arguments, sizeof arguments, "%s,%s,2", refused_operands[a], refused_operands[b]);
            if (strstr(text, "Weight") || strstr(text, "Exp"))
                refused += is_refused(r, text, arguments);
        }
    }
    for (int b = 0; b < PARAMS; b++) {
        snprintf(arguments, sizeof arguments, "%s,2", refused_params[b]);
        if (strncmp(text, "Zero", 4) == 0)
            refused += is_refused(r, text, arguments);
    }
    ck_assert_msg(refused || strncmp(text, "Identity", 8) == 0, "%s is never refused", text);
    r->names_tried++;
    r->refused += refused;
}

START_TEST(errors_name_what_is_written)
{
    refusals r = {.refused = 0};
    for (int k = 0; k < OPERANDS; k++) {
        const bool parameter = refused_operands[k][0] == 'p', index = refused_operands[k][0] == 'k';
        const kf_node *v = kf_var(&g, k, refused_operands[k][0] == 'v' ? refused_operands[k][1] - '0' : 1,
                                  parameter ? KF_ROLE_P : KF_ROLE_I);
        r.names[k] = (kf_binding){refused_operands[k], index ? kf_integers(&g, v) : v};
    }
    kf_each_name(refuse_operator, &r);
    kf_each_reduction(refuse_reduction, &r);
    ck_assert_int_gt(r.names_tried, 100);
    ck_assert_int_gt(r.refused, 1000);
}
END_TEST

START_TEST(texts_are_not_programs)
{
    const char *const texts[] = {
        "print(x)",
        "Exp(print(x))",
        "__import__(x)",
        "x.shape",
        "x if p else y",
        "[x,y]",
        "(lambda: x)(1)",
        "Exp(a:=x)",
        "x, y",
        "Exp(*x)",
        "Exp(x=x)",
        "'x'",
        "exec(x)",
        "{x}",
        "x[0]",
        "open(p)",
        "x is y",
        "x in y",
        "Grad.__class__(x)",
        "Exp(x) # comment",
        "x\\",
        "Concat(x,*y)",
        "not p",
        "True",
    };
    for (size_t k = 0; k < KB_COUNT(texts); k++) {
        const kf_node *f = NULL;
        kf_parsed_reduction r[KF_MAX_RESULTS];
        size_t count;
        char reduced[100];
        ck_assert_msg(kf_parse_formula(&g, texts[k], 4, bindings, &next_index, &f, &err) == KCL_ERROR_SYNTAX, "%s",
                      texts[k]);
        ck_assert_msg(strchr(err.text, '^') != NULL, "%s", err.text);
        snprintf(reduced, sizeof reduced, "Sum_Reduction(%s,0)", texts[k]);
        ck_assert_int_eq(kf_parse_reductions(&g, reduced, 4, bindings, &next_index, &count, r, &err), KCL_ERROR_SYNTAX);
    }
}
END_TEST

START_TEST(errors_in_reductions)
{
    kf_parsed_reduction r[KF_MAX_RESULTS];
    size_t count = 77;
    const char *text = reduction_errors[_i].text;
    kcl_status status = kf_parse_reductions(&g, text, 4, bindings, &next_index, &count, r, &err);
    check_error(text, status, reduction_errors[_i].status, reduction_errors[_i].column, reduction_errors[_i].sentence);
    ck_assert_uint_eq(count, 77);
    ck_assert_int_eq(next_index, 4);
}
END_TEST

START_TEST(errors_in_aliases)
{
    kf_alias alias;
    const char *text = alias_errors[_i].text;
    kcl_status status = kf_parse_alias(kf_allocator(&g), text, &alias, &err);
    check_error(text, status, alias_errors[_i].status, alias_errors[_i].column, alias_errors[_i].sentence);
}
END_TEST

static void expect_error(const char *text, const char *whole)
{
    const kf_node *f = NULL;
    ck_assert_int_lt(kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err), 0);
    ck_assert_str_eq(err.text, whole);
}

START_TEST(errors_show_the_line_they_are_in)
{
    expect_error("", "the formula is empty");
    expect_error(" \n\t ", "the formula is empty");
    expect_error("x +\n  y +\n\t? + b\n", "the character ? has no meaning in a formula\n ? + b\n ^");
    expect_error("x +\n y +  \n\n", "the text ends where a formula is expected\n y +\n    ^");
    /* Characters that are not ASCII take one column, whatever their bytes. */
    expect_error("x+\xce\xb1*y", "the byte 0xCE has no meaning in a formula, which is ASCII text\nx+?*y\n  ^");
    expect_error("x+\xff", "the byte 0xFF has no meaning in a formula, which is ASCII text\nx+?\n  ^");
}
END_TEST

START_TEST(errors_in_long_lines_show_their_surroundings)
{
    /* 100 times "x+" on either side: what is shown is cut at both ends, at the end, or at the start. */
    char text[512], want[512];
    for (int before = 0; before <= 100; before += 100) {
        for (int after = 0; after <= 100; after += 100) {
            if (!before && !after)
                continue;
            char *c = text;
            for (int k = 0; k < before + after + 1; k++, c += 2)
                memcpy(c, k == before ? "z+" : "x+", 3);
            memcpy(c, "x", 2);
            const kf_node *f = NULL;
            ck_assert_int_eq(kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err), KCL_ERROR_SYNTAX);
            const char *line = strchr(err.text, '\n') + 1, *caret = strchr(line, '\n') + 1;
            size_t length = (size_t)(caret - line) - 1, column = strspn(caret, " ");
            ck_assert_str_eq(caret + column, "^");
            ck_assert_int_eq(line[column], 'z');
            ck_assert_uint_eq(length, 100u + (before ? 3 : 0) + (after ? 3 : 0));
            snprintf(want, sizeof want, "%s", before ? "...x+" : "z+x+");
            ck_assert(strncmp(line, want, strlen(want)) == 0 || strncmp(line, "...+x", 5) == 0);
            ck_assert(after ? strncmp(caret - 4, "...", 3) == 0 : caret[-2] == 'x');
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parse-errors");
    TCase *tests = tcase_create("parse-errors");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, errors_in_formulas, 0, KB_COUNT(formula_errors));
    tcase_add_test(tests, errors_name_what_is_written);
    tcase_add_test(tests, texts_are_not_programs);
    tcase_add_loop_test(tests, errors_in_reductions, 0, KB_COUNT(reduction_errors));
    tcase_add_loop_test(tests, errors_in_aliases, 0, KB_COUNT(alias_errors));
    tcase_add_test(tests, errors_show_the_line_they_are_in);
    tcase_add_test(tests, errors_in_long_lines_show_their_surroundings);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
