/* SPDX-License-Identifier: MIT */
/*
 * keopscl/expr.h: lazy tensors: expressions, from their variables to their values. scope.h explains what they are, what
 * becomes of errors, and who owns what.
 */
#ifndef KEOPSCL_EXPR_H
#define KEOPSCL_EXPR_H

#include <keopscl/derivatives.h>
#include <keopscl/elementwise.h>
#include <keopscl/evaluation.h>
#include <keopscl/reductions.h>
#include <keopscl/scope.h>
#include <keopscl/variables.h>
#include <keopscl/vectors.h>

#endif
