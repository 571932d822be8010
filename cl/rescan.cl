/*
 * cl/rescan.cl: looks again at columns that deferred steps left open. A piece of a kernel: skeletons include it where all columns
 * from `first` to `last` have passed. They define
 *
 *     KCL_RESCAN_BLOCK    the statements for KCL_STREAM columns from j on
 *     KCL_RESCAN_STREAM   columns of a query; and of a step, where KCL_RESCAN_BLOCKS is defined, else 1
 */
#undef KCL_FORM
#define KCL_FORM(step, now, rescan) rescan
        for (;;) {
            bool more = false;
            long query = -1;
            KCL_FIND_NEXT
            if (!more)
                break;
            const long end = query < 0 ? last : min(last, first + query + KCL_RESCAN_STREAM);
            long j = first + max(query, 0L);
            KCL_FIND_BEGIN
#ifdef KCL_RESCAN_BLOCKS
#undef KCL_STREAM
#define KCL_STREAM KCL_RESCAN_STREAM
            for (; j + KCL_RESCAN_STREAM <= end; j += KCL_RESCAN_STREAM) {
                KCL_RESCAN_BLOCK
            }
#endif
#undef KCL_STREAM
#define KCL_STREAM 1
            for (; j < end; j++) {
                KCL_RESCAN_BLOCK
            }
            KCL_FIND_END
        }
