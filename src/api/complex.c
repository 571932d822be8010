/* SPDX-License-Identifier: MIT */
/* api/complex.c: complex numbers as pairs of components: the methods of KeOps' ComplexLazyTensor. */
#include "builder.h"

#define UNARY(name, operator)                                                                                          \
    kcl_expr *name(kcl_expr *f)                                                                                        \
    {                                                                                                                  \
        return ka_named(operator, false, 1, &f, NULL);                                                                 \
    }
#define BINARY(name, operator)                                                                                         \
    kcl_expr *name(kcl_expr *f, kcl_expr *g)                                                                           \
    {                                                                                                                  \
        return ka_named(operator, false, 2, (kcl_expr *[]){f, g}, NULL);                                               \
    }

UNARY(kcl_real2complex, "Real2Complex")
UNARY(kcl_imag2complex, "Imag2Complex")
UNARY(kcl_real, "ComplexReal")
UNARY(kcl_imag, "ComplexImag")
UNARY(kcl_conj, "Conj")
UNARY(kcl_complex_abs, "ComplexAbs")
UNARY(kcl_complex_square_abs, "ComplexSquareAbs")
UNARY(kcl_complex_arg, "ComplexAngle")
UNARY(kcl_complex_exp, "ComplexExp")
UNARY(kcl_exp1j, "ComplexExp1j")
UNARY(kcl_complex_sum, "ComplexSum")
BINARY(kcl_complex_add, "ComplexAdd")
BINARY(kcl_complex_sub, "ComplexSubtract")
BINARY(kcl_complex_mul, "ComplexMult")
BINARY(kcl_complex_div, "ComplexDivide")
BINARY(kcl_complex_scale, "ComplexRealScal")

kcl_expr *kcl_complex_repeat(kcl_expr *f, int count)
{
    return ka_named("ComplexSumT", false, 1, &f, (int64_t[]){2 * (int64_t)count});
}
