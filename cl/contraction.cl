/* SPDX-License-Identifier: MIT */
/*
 * cl/contraction.cl: the sweep of GPUs for sums over the index of long vectors. A work-group of KCL_SIDE x KCL_SIDE
 * work-items computes a block of KCL_ROW_TILE rows and KCL_TILE columns at a time; a work-item has KCL_LANES rows and
 * KCL_STREAM columns of it, and the sums of their pairs in registers. The vectors pass through local memory, KCL_CHUNK
 * components at a time; the next ones are fetched while these are used.
 *
 * The generated text in front defines, for sum_j exp(-g |x_i - y_j|^2) b_j, beside what cl/rows.cl explains:
 *
 *     #define KCL_DIM 100                            components of the vectors
 *     #define KCL_ROW_OPERANDS(X) X(0, 0, 100)       number, variable, distance of rows; X(...) for each
 *     #define KCL_COLUMN_OPERANDS(X) X(0, 1, 100)
 *     #define KCL_SWEEP_SUMS lanes s0[KCL_STREAM]; ...   declarations of sums, set to 0
 *     #define KCL_SWEEP_STEP ...                         adds a component: x0 of the rows, y1[v] of the columns
 *     #define KCL_SWEEP_BLOCK ...                        the rest of the formula
 *
 * A row of local memory holds one component of all rows or columns of the block. What a work-item needs of it is read
 * four numbers at a time, KCL_SIDE * 4 apart: neighbouring work-items then read neighbouring memory.
 */

#define KCL_COLUMN(v) ((ilanes)((ireal)(j + (v)-first)))
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0
#define KCL_JOIN_WIDTH KCL_SIDE
#define KCL_JOIN_MEMBER across
#define KCL_JOIN_SET down

/* Nothing is put off. Columns beyond the last one stand for repetitions of it and do not count. */
#define KCL_FORM(step, now, rescan) now
#undef KCL_TAKE
#define KCL_TAKE(step)                                                                                                 \
    if (j + v < last) {                                                                                                \
        step                                                                                                           \
    }
#define KCL_ELEMENT(v) min(j + (v), last - 1)
#define KCL_READ(variable, k) KCL_MEMORY_##variable(k)

#define KCL_ROW_TILE (KCL_SIDE * KCL_LANES)
#define KCL_PITCH(tile) ((tile) + 4) /* of the rows of local memory: writes of one column meet different banks */
#define KCL_FETCHES(tile) (((tile) * KCL_CHUNK + KCL_GROUP - 1) / KCL_GROUP)

typedef KCL_CAT_(KCL_REAL_NAME, 4) real4;

/* Where row or column far + near of a block is in local memory, where a work-item has `count` of them. */
KCL_FN uint kcl_place(uint far, uint near, uint count)
{
    if (far % count == 0) /* far / count pieces of each of the count / 4 parts: known when the kernel is compiled */
        return far / count * 4 + near / 4 % (count / 4) * (KCL_SIDE * 4) + near / count * 4 + near % 4;
    const uint r = far + near;
    return r / 4 % (count / 4) * (KCL_SIDE * 4) + r / count * 4 + r % 4;
}

/* Those of work-item `of`, a component: `memory` is its row. */
KCL_FN void kcl_take(__local const real *memory, int of, int count, real *to)
{
    _Pragma("unroll") for (int q = 0; q < count / 4; q++)
    {
        const real4 four = *(__local const real4 *)(memory + (q * KCL_SIDE + of) * 4);
        to[4 * q] = four.s0;
        to[4 * q + 1] = four.s1;
        to[4 * q + 2] = four.s2;
        to[4 * q + 3] = four.s3;
    }
}

/* Components of a step: a quarter of a long step as straight code, which compilers build sooner than all of it. */
#if KCL_CHUNK % 10 == 0
#define FOR_CHUNK _Pragma("unroll 5") for (int m = 0; m < KCL_CHUNK; m++)
#elif KCL_CHUNK % 12 == 0
#define FOR_CHUNK _Pragma("unroll 6") for (int m = 0; m < KCL_CHUNK; m++)
#else
#define FOR_CHUNK _Pragma("unroll 4") for (int m = 0; m < KCL_CHUNK; m++)
#endif

#define FOR_FETCHES(tile) _Pragma("unroll") for (uint f = 0; f < KCL_FETCHES(tile); f++)

/*
 * Number f of those that a work-item fetches: its row or column in the block, and its component in the step. Components
 * recur with f, every KCL_PERIOD, at a constant distance of the rows: places that differ by constants take few instructions.
 */
enum { KCL_PERIOD = KCL_CHUNK / (KCL_CHUNK & -KCL_CHUNK), KCL_PERIOD_ROWS = KCL_PERIOD * KCL_GROUP / KCL_CHUNK };
#define KCL_FETCHED_FAR(f) ((f) / KCL_PERIOD * KCL_PERIOD_ROWS)
#define KCL_FETCHED_NEAR(f) (((f) % KCL_PERIOD * KCL_GROUP + item) / KCL_CHUNK)
#define KCL_FETCHED(f) ((long)KCL_FETCHED_FAR(f) + (long)KCL_FETCHED_NEAR(f))
#define KCL_FETCHED_COMPONENT(f) (((f) % KCL_PERIOD * KCL_GROUP + item) % KCL_CHUNK)

/* Whether all f of a work-item are components of the block. */
#define KCL_FETCHES_ALL(tile) ((tile) * KCL_CHUNK % KCL_GROUP == 0)

/*
 * Components from `next` on of the rows or columns from `base` on, where `next` and `last` tell that all these exist; else
 * those beyond the last are repetitions.
 */
#define KCL_FETCH(to, memory, stride, base, last, tile)                                                                \
    if (last == (tile) - 1 && next + KCL_CHUNK <= KCL_DIM && KCL_FETCHES_ALL(tile)) {                                  \
        FOR_FETCHES(tile)                                                                                              \
        to[f] = ((memory) + (base) * (stride) + next)[KCL_FETCHED(f) * (stride) + KCL_FETCHED_COMPONENT(f)];           \
    } else {                                                                                                           \
        FOR_FETCHES(tile)                                                                                              \
        to[f] = ((memory) + (base) * (stride))[min(KCL_FETCHED(f), (long)last) * (stride) +                            \
                                               min(next + (int)KCL_FETCHED_COMPONENT(f), KCL_DIM - 1)];                \
    }
#define KCL_KEEP(from, memory, tile, count)                                                                            \
    FOR_FETCHES(tile)                                                                                                  \
    {                                                                                                                  \
        if (KCL_FETCHES_ALL(tile) || f * KCL_GROUP + item < (tile) * KCL_CHUNK)                                        \
            (memory)[KCL_FETCHED_COMPONENT(f) * KCL_PITCH(tile) +                                                      \
                     kcl_place(KCL_FETCHED_FAR(f), KCL_FETCHED_NEAR(f), count)] = from[f];                             \
    }

/* Component m of operand n in one of two buffers: one is filled while the other is read. */
#define KCL_LOCAL_X(n, buffer, m) (local_x + (((n) * 2 + (buffer)) * KCL_CHUNK + (m)) * KCL_PITCH(KCL_ROW_TILE))
#define KCL_LOCAL_Y(n, buffer, m) (local_y + (((n) * 2 + (buffer)) * KCL_CHUNK + (m)) * KCL_PITCH(KCL_TILE))
#define KCL_DECLARE_ROWS(n, variable, stride) real next_x##n[KCL_FETCHES(KCL_ROW_TILE)];
#define KCL_DECLARE_COLUMNS(n, variable, stride) real next_y##n[KCL_FETCHES(KCL_TILE)];
#define KCL_FETCH_ROWS(n, variable, stride)                                                                            \
    KCL_FETCH(next_x##n, a##variable, stride, row_start, last_row, KCL_ROW_TILE)
#define KCL_FETCH_COLUMNS(n, variable, stride) KCL_FETCH(next_y##n, a##variable, stride, ahead, last_column, KCL_TILE)
#define KCL_KEEP_ROWS(n, variable, stride) KCL_KEEP(next_x##n, KCL_LOCAL_X(n, filled, 0), KCL_ROW_TILE, KCL_LANES)
#define KCL_KEEP_COLUMNS(n, variable, stride) KCL_KEEP(next_y##n, KCL_LOCAL_Y(n, filled, 0), KCL_TILE, KCL_STREAM)
#define KCL_TAKE_ROWS(n, variable, stride)                                                                             \
    real of_x##n[KCL_LANES];                                                                                           \
    kcl_take(KCL_LOCAL_X(n, buffer, m), down, KCL_LANES, of_x##n);                                                  \
    const lanes x##variable = KCL_VLOAD(of_x##n);
#define KCL_TAKE_COLUMNS(n, variable, stride)                                                                          \
    real y##variable[KCL_STREAM];                                                                                      \
    kcl_take(KCL_LOCAL_Y(n, buffer, m), across, KCL_STREAM, y##variable);

__kernel KCL_GROUP_SIZE
void sweep(KCL_SWEEP_PARAMETERS const long rows, const long cols, const long first_worker, const long workers,
           const long parts, const long part_length, const long first_part, __global real *restrict partial)
{
    __local real local_x[2 * KCL_ROW_OPERAND_COUNT * KCL_CHUNK * KCL_PITCH(KCL_ROW_TILE)]
        __attribute__((aligned(sizeof(real4))));
    __local real local_y[2 * KCL_COLUMN_OPERAND_COUNT * KCL_CHUNK * KCL_PITCH(KCL_TILE)]
        __attribute__((aligned(sizeof(real4))));
    __local lanes joined[KCL_JOINED];
    /*
     * Neighbouring work-items, 32 of which run in step on many GPUs, are 4 x 8 of the block: they read 4 different
     * pieces of local memory for the rows and 8 for the columns.
     */
    const uint item = get_local_id(0), warp = item / 32, lane = item % 32;
#if KCL_SIDE >= 8
    const int across = warp % (KCL_SIDE / 8) * 8 + lane % 8, down = warp / (KCL_SIDE / 8) * 4 + lane / 8;
#else
    const int across = item % KCL_SIDE, down = item / KCL_SIDE;
#endif
    const long part = first_part + get_group_id(1), first = KCL_COLUMN_PART(part) * part_length;
    const long last = min(cols, first + part_length);
    const long lane_count = rows, row_blocks = (rows + KCL_ROW_TILE - 1) / KCL_ROW_TILE;
    KCL_DECLARE
    KCL_SWEEP_LAUNCH
    FOR_BLOCKS(block, first_worker + get_group_id(0), row_blocks, workers) {
        const long row_start = block * KCL_ROW_TILE, i = row_start + down * KCL_LANES;
        const int last_row = (int)min((long)KCL_ROW_TILE, rows - row_start) - 1;
        KCL_INIT
        KCL_EACH_BEGIN(KCL_EACH_PART(part))
        KCL_SWEEP_LANE
        KCL_ROWS_BEGIN
        KCL_ROW_OPERANDS(KCL_DECLARE_ROWS)
        KCL_COLUMN_OPERANDS(KCL_DECLARE_COLUMNS)
        /* The steps of all tiles are one sequence: the first of the next tile is fetched during the last of this one. */
        long ahead = first;
        int buffer = 0, next = 0, filled = 0, last_column = (int)min((long)KCL_TILE, last - first) - 1;
        if (first < last) {
            KCL_ROW_OPERANDS(KCL_FETCH_ROWS)
            KCL_COLUMN_OPERANDS(KCL_FETCH_COLUMNS)
            KCL_ROW_OPERANDS(KCL_KEEP_ROWS)
            KCL_COLUMN_OPERANDS(KCL_KEEP_COLUMNS)
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (long start = first; start < last; start += KCL_TILE) {
            const long j = start + across * KCL_STREAM;
            KCL_SWEEP_SUMS
            for (int from = 0; from < KCL_DIM; from += KCL_CHUNK) {
                next = from + KCL_CHUNK;
                if (next >= KCL_DIM) {
                    next = 0;
                    ahead = start + KCL_TILE;
                    last_column = (int)min((long)KCL_TILE, last - ahead) - 1;
                }
                const bool more = ahead < last;
                if (more) {
                    KCL_ROW_OPERANDS(KCL_FETCH_ROWS)
                    KCL_COLUMN_OPERANDS(KCL_FETCH_COLUMNS)
                }
#if KCL_DIM % KCL_CHUNK
                if (from + KCL_CHUNK > KCL_DIM) {
                    for (int m = 0; m < KCL_DIM % KCL_CHUNK; m++) {
                        const int k = from + m;
                        KCL_ROW_OPERANDS(KCL_TAKE_ROWS)
                        KCL_COLUMN_OPERANDS(KCL_TAKE_COLUMNS)
                        KCL_SWEEP_STEP
                    }
                } else
#endif
                {
                    FOR_CHUNK
                    {
                        const int k = from + m;
                        KCL_ROW_OPERANDS(KCL_TAKE_ROWS)
                        KCL_COLUMN_OPERANDS(KCL_TAKE_COLUMNS)
                        KCL_SWEEP_STEP
                    }
                }
                filled = 1 - buffer;
                if (more) {
                    KCL_ROW_OPERANDS(KCL_KEEP_ROWS)
                    KCL_COLUMN_OPERANDS(KCL_KEEP_COLUMNS)
                }
                barrier(CLK_LOCAL_MEM_FENCE);
                buffer = filled;
            }
            KCL_TILE_BEGIN
            KCL_SWEEP_BLOCK
            KCL_TILE_END
        }
        KCL_ROWS_END
        KCL_EACH_END
        KCL_CLOSE
        KCL_TERMS(KCL_JOIN_STATES)
        if (across == 0) {
            KCL_TERMS(KCL_SAVE_LANES)
        }
    }
}
