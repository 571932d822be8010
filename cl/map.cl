/* SPDX-License-Identifier: MIT */
/*
 * cl/map.cl: kernels without pairs; lanes over the elements of one axis.
 *
 *   prepare_rows, prepare_columns
 *             values that depend on one axis only, computed once a launch: KCL_PREPARE_ROWS_PARAMETERS,
 *             KCL_PREPARE_ROWS_LAUNCH, KCL_PREPARE_ROWS_LANE, KCL_PREPARE_ROWS_OUT; KCL_PREPARE_COLUMNS_...
 *   finish    merges partial states, where KCL_TERMS is defined, and computes the outputs: KCL_FINISH_PARAMETERS, ...
 *             KCL_DEFERRED: looks again at the steps that parts have left open, with KCL_FINISH_BLOCK: once a row where
 *             the parts would do so once each. KCL_BLOCK_COLUMNS is that of cl/lanes.cl
 */

/*
 * Beside a sweep these kernels take no time, so their loops over components stay loops on GPUs: unrolled, their text was
 * most of what compilers spent their time with. Loops of up to four components still become straight code, but not where
 * vectors are long: two loads are under way together there. KCL_LONG_MAP: there is no sweep, and the formula is so long that
 * compilers would take seconds for more than one text of every loop.
 */
#if defined(KCL_GROUP) && defined(KCL_TERMS)
#undef FOR_INDEX
#if defined(KCL_UNROLLED) && !defined(KCL_WIDE)
#define FOR_INDEX(k, from, to) _Pragma("unroll 4") for (int k = (from); k < (to); k++)
#else
#define FOR_INDEX(k, from, to) _Pragma("unroll 2") for (int k = (from); k < (to); k++)
#endif
#elif defined(KCL_LONG_MAP)
#undef FOR_INDEX
#define FOR_INDEX(k, from, to) _Pragma("unroll 1") for (int k = (from); k < (to); k++)
#endif

#define KCL_PREPARE(name, X)                                                                                           \
    KCL_KERNEL void KCL_NAME(name)(X##_PARAMETERS const long lane_count KCL_PLACES)                                    \
    {                                                                                                                  \
        const long blocks = (lane_count + KCL_LANES - 1) / KCL_LANES;                                                  \
        X##_LAUNCH                                                                                                     \
        FOR_ITEM_BLOCKS(block, KCL_GLOBAL_ID(0), blocks, KCL_GLOBAL_SIZE) {                                            \
            const long i = block * KCL_LANES;                                                                          \
            X##_LANE                                                                                                   \
            X##_OUT                                                                                                    \
        }                                                                                                              \
    }

#ifdef KCL_PREPARE_ROWS_PARAMETERS
KCL_PREPARE(prepare_rows, KCL_PREPARE_ROWS)
#endif
#ifdef KCL_PREPARE_COLUMNS_PARAMETERS
KCL_PREPARE(prepare_columns, KCL_PREPARE_COLUMNS)
#endif

#ifdef KCL_FINISH_PARAMETERS
KCL_KERNEL void KCL_NAME(finish)(KCL_FINISH_PARAMETERS const long rows
#ifdef KCL_TERMS
#ifdef KCL_DEFERRED
                     , const long cols
#endif
                     , const long parts
#ifdef KCL_DEFERRED
                     , const long part_length
#endif
                     , __global const real *restrict partial
#endif
                     KCL_PLACES)
{
    const long lane_count = rows, blocks = (rows + KCL_LANES - 1) / KCL_LANES;
#ifdef KCL_DEFERRED
#define KCL_COLUMN(v) ((ilanes)((ireal)(j + (v)-first)))
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0
    KCL_FIND_STATE
#endif
    KCL_FINISH_LAUNCH
    FOR_ITEM_BLOCKS(block, KCL_GLOBAL_ID(0), blocks, KCL_GLOBAL_SIZE) {
        const long i = block * KCL_LANES;
        KCL_FINISH_LANE
#ifdef KCL_TERMS
        KCL_TERMS(KCL_MERGE)
#ifdef KCL_DEFERRED
        KCL_FIND_LIMIT
        for (long part = 0; part < parts; part++) {
            const long first = part * part_length, last = min(cols, first + part_length);
            KCL_FIND_PART
#define KCL_RESCAN_BLOCK KCL_FINISH_BLOCK
#define KCL_RESCAN_STREAM KCL_BLOCK_COLUMNS
#define KCL_RESCAN_BLOCKS
#include "rescan.cl"
            KCL_FIND_CLOSE
        }
#endif
        KCL_RESULT
#endif
        KCL_FINISH_OUT
    }
}
#endif
