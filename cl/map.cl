/* SPDX-License-Identifier: MIT */
/*
 * cl/map.cl: kernels without pairs; lanes over the elements of one axis.
 *
 *   prepare   values that depend on the streamed axis only, computed once a launch: KCL_PREPARE_PARAMETERS,
 *             KCL_PREPARE_LAUNCH, KCL_PREPARE_LANE, KCL_PREPARE_OUT
 *   finish    merges partial states, where KCL_TERMS is defined, and computes the outputs: KCL_FINISH_PARAMETERS, ...
 */

#ifdef KCL_PREPARE_PARAMETERS
__kernel void prepare(KCL_PREPARE_PARAMETERS const long lane_count)
{
    const long blocks = (lane_count + KCL_LANES - 1) / KCL_LANES;
    KCL_PREPARE_LAUNCH
    for (long block = get_global_id(0); block < blocks; block += get_global_size(0)) {
        const long i = block * KCL_LANES;
        KCL_PREPARE_LANE
        KCL_PREPARE_OUT
    }
}
#endif

#ifdef KCL_FINISH_PARAMETERS
__kernel void finish(KCL_FINISH_PARAMETERS const long rows
#ifdef KCL_TERMS
                     , const long parts, __global const real *restrict partial
#endif
)
{
    const long lane_count = rows, blocks = (rows + KCL_LANES - 1) / KCL_LANES;
    KCL_FINISH_LAUNCH
    for (long block = get_global_id(0); block < blocks; block += get_global_size(0)) {
        const long i = block * KCL_LANES;
        KCL_FINISH_LANE
#ifdef KCL_TERMS
        KCL_TERMS(KCL_MERGE)
#endif
        KCL_FINISH_OUT
    }
}
#endif
