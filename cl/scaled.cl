/* SPDX-License-Identifier: MIT */
/*
 * cl/scaled.cl: outputs that are added to what their memory holds: to = alpha * value + beta * to. Follows cl/common.cl,
 * in programs with such outputs. Compiles on its own behind it.
 */

/*
 * What a factor of 0 belongs to is not read, so that NaN in it, and for beta what was never written, is lost: BLAS's
 * convention.
 */
KCL_FN void kcl_scatter_scaled(__global real *restrict to, long first, long count, long stride, long offset,
                               lanes value, real alpha, real beta)
{
    real lane[KCL_LANES];
    const bool is_added = alpha != KCL_R(0.0);
    KCL_VSTORE(is_added ? alpha * value : (lanes)(KCL_R(0.0)), lane);
    FOR_LANES
        if (first + l < count) {
            __global real *const at = to + (first + l) * stride + offset;
            *at = beta == KCL_R(0.0) ? lane[l] : is_added ? fma(beta, *at, lane[l]) : beta * *at;
        }
}

#define KCL_STORE_SCALED(to, k, value)                                                                                 \
    kcl_scatter_scaled(to, i, lane_count, to##_s, (long)(k)*to##_k, (lanes)(value), to##_alpha, to##_beta);
