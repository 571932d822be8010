/*
 * cl/sweep.cl: the loop over rows and columns of cl/lanes.cl and cl/rows.cl, whose lanes run over rows. These two
 * files define
 *
 *     KCL_WORKER(axis)                number of a work-item (of a work-group, where these have several). KCL_FROM adds
 *                                     the first number of the launch, unless the kernel has (cl/common.cl)
 *     KCL_BLOCK_ROWS                  rows that it takes at a time
 *     KCL_ROW_OF(block)               the first row of the work-item's lanes
 *     KCL_BEGIN_SWEEP                 declarations in front of all
 *     KCL_PLACE, KCL_BEGIN_TILE       type of places in a tile; sets them, `from` and `to`, for the columns from
 *                                     `start` on
 *     KCL_COLUMN_AT(c)                the column at place c of the tile
 *     KCL_KEEP_LOOP                   in front of the loop over the columns beside the blocks: nothing, or a pragma
 *     KCL_RESCAN_BLOCKS               defined where rescans go by steps (cl/rescan.cl)
 *
 * A launch may be one of several that divide the work: those of `workers` workers from number first_worker on, of parts
 * from number first_part on. So a worker does the same however the work is divided.
 */
#define KCL_COLUMN(v) ((ilanes)((ireal)(j + (v)-first)))
#if KCL_SHAPE == KCL_ROWS_BOTH
#define KCL_NUMBER_FIRST ((i KCL_OF_EACH(rows)) * cols)
#define KCL_NUMBER_STEP cols
#else
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0
#endif

/* KCL_STREAM and the form of a term's step change within the kernel: a step of many columns or one. */
enum { KCL_BLOCK_COLUMNS = KCL_STREAM };
#if KCL_STREAM > 1
#define KCL_BLOCKS
#endif

KCL_KERNEL KCL_GROUP_SIZE
void KCL_NAME(sweep)(KCL_SWEEP_PARAMETERS const long rows, const long cols, const long first_worker, const long workers
#if KCL_SHAPE != KCL_ROWS
           , const long parts, const long part_length
#if KCL_SHAPE == KCL_ROWS_SPLIT
           , const long first_part
#endif
           , __global real *restrict partial
#endif
           KCL_PLACES)
{
    KCL_BEGIN_SWEEP
#if defined KCL_GROUP && KCL_SHAPE == KCL_ROWS_BOTH
    __local lanes joined[KCL_JOINED];
#endif
    const long lane_count = rows, blocks = (rows + KCL_BLOCK_ROWS - 1) / KCL_BLOCK_ROWS;
#if KCL_SHAPE == KCL_ROWS_SPLIT
    const long part = KCL_FROM(first_part, KCL_WORKER(1)), first = KCL_COLUMN_PART(part) * part_length;
    const long last = min(cols, first + part_length);
#else
    const long first = 0, last = cols;
#endif
    KCL_DECLARE
    KCL_SWEEP_LAUNCH
#if KCL_SHAPE == KCL_ROWS_BOTH
    KCL_INIT
#endif
    FOR_BLOCKS(block, KCL_FROM(first_worker, KCL_WORKER(0)), blocks, workers) {
        const long i = KCL_ROW_OF(block);
#if KCL_SHAPE != KCL_ROWS_BOTH
        KCL_INIT
        KCL_EACH_BEGIN(KCL_EACH_PART(part))
#else
        KCL_EACH_BEGIN(KCL_WORKER(1))
#endif
        KCL_SWEEP_LANE
        KCL_ROWS_BEGIN
        for (long start = first; start < last; start += KCL_TILE) {
            KCL_BEGIN_TILE
            KCL_TILE_BEGIN
#if KCL_RESCANS & KCL_RESCAN_TILES
            /* Columns that are looked at first: one step, and all of the tile if these were not enough. */
            KCL_PLACE look = (0 KCL_LOOKS) ? min(to, from + KCL_BLOCK_COLUMNS) : from;
            for (bool again = false;; again = true) {
                if (look != from) {
                    KCL_LOOK_BEGIN
#undef KCL_FORM
#define KCL_FORM(step, now, rescan) rescan
#undef KCL_STREAM
#define KCL_STREAM 1
                    for (KCL_PLACE c = from; c < look; c++) {
                        const long j = KCL_COLUMN_AT(c);
                        KCL_SWEEP_BLOCK
                    }
                    KCL_LOOK_END
                }
#endif
#undef KCL_FORM
#define KCL_FORM(step, now, rescan) step
#undef KCL_STREAM
#define KCL_STREAM KCL_BLOCK_COLUMNS
                KCL_PLACE c = from;
#ifdef KCL_BLOCKS
                for (; c + KCL_BLOCK_COLUMNS <= to; c += KCL_BLOCK_COLUMNS) {
                    const long j = KCL_COLUMN_AT(c);
                    KCL_BLOCK_BEGIN
                    KCL_SWEEP_BLOCK
                    KCL_BLOCK_END
                }
#endif
#undef KCL_STREAM
#define KCL_STREAM 1
                KCL_KEEP_LOOP for (; c < to; c++) {
                    const long j = KCL_COLUMN_AT(c);
                    KCL_BLOCK_BEGIN
                    KCL_SWEEP_BLOCK
                    KCL_BLOCK_END
                }
#if KCL_SHAPE == KCL_ROWS_BOTH
                if (i + KCL_LANES > rows) {
                    KCL_MASK
                }
#endif
#if KCL_RESCANS & KCL_RESCAN_TILES
                if (again || !(0 KCL_TILE_FAILS))
                    break;
                look = to;
            }
#endif
            KCL_TILE_END
        }
#undef KCL_READ
#define KCL_READ(variable, k) KCL_MEMORY_##variable(k)
#if (KCL_RESCANS & KCL_RESCAN_STEPS) && !defined KCL_DEFERRED
        KCL_FIND
#define KCL_RESCAN_BLOCK KCL_SWEEP_BLOCK
#define KCL_RESCAN_STREAM KCL_BLOCK_COLUMNS
#include "rescan.cl"
#endif
        KCL_ROWS_END
        KCL_EACH_END
#if KCL_SHAPE != KCL_ROWS_BOTH
        KCL_CLOSE
#endif
#if KCL_SHAPE == KCL_ROWS
        KCL_RESULT
        KCL_SWEEP_OUT
#elif KCL_SHAPE == KCL_ROWS_SPLIT
        KCL_TERMS(KCL_SAVE_LANES)
#endif
    }
#if KCL_SHAPE == KCL_ROWS_BOTH
    KCL_CLOSE
#ifdef KCL_GROUP
    KCL_TERMS(KCL_JOIN_STATES)
#endif
    const long part = KCL_ALL_PARTS(KCL_FROM(first_worker, KCL_WORKER(0))), row = 0, state = 0;
    if (KCL_ITEM == 0) {
#define rows 1
        KCL_TERMS(KCL_SAVE_SUM)
#undef rows
    }
#endif
}
