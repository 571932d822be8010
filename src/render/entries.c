/* SPDX-License-Identifier: MIT */
/* render/entries.c: the kernels of programs for CPUs, which call the functions that do the work. */
#include "entries.h"

/* The name of a parameter, as KCL_..._PARAMETERS and the skeletons declare it. */
static void put_name(kb_str *out, const kt_arg *arg)
{
    const unsigned index = arg->index, axis = arg->axis;
    switch (arg->kind) {
    case KT_ARG_VAR:
        kb_str_putf(out, "a%u", index);
        break;
    case KT_ARG_VAR_STRIDE:
        kb_str_putf(out, "a%u_s", index);
        break;
    case KT_ARG_VAR_BATCH:
        kb_str_putf(out, "a%u_b%u", index, axis);
        break;
    case KT_ARG_OUTPUT:
        kb_str_putf(out, "o%u", index);
        break;
    case KT_ARG_OUTPUT_STRIDE:
        kb_str_putf(out, "o%u_s", index);
        break;
    case KT_ARG_OUTPUT_STEP:
        kb_str_putf(out, "o%u_k", index);
        break;
    case KT_ARG_OUTPUT_ALPHA:
        kb_str_putf(out, "o%u_alpha", index);
        break;
    case KT_ARG_OUTPUT_BETA:
        kb_str_putf(out, "o%u_beta", index);
        break;
    case KT_ARG_OUTPUT_BATCH:
        kb_str_putf(out, "o%u_b%u", index, axis);
        break;
    case KT_ARG_BATCH_SIZE:
        kb_str_putf(out, "n%u", axis);
        break;
    case KT_ARG_FIRST_BATCH:
        kb_str_put(out, "first_batch");
        break;
    case KT_ARG_PARTIAL_BATCH:
        kb_str_put(out, "partial_b");
        break;
    case KT_ARG_COLUMN_PARTS:
        kb_str_put(out, "column_parts");
        break;
    case KT_ARG_EACH_COUNT:
        kb_str_put(out, "each_count");
        break;
    case KT_ARG_EACH_LENGTH:
        kb_str_put(out, "each_length");
        break;
    case KT_ARG_ROWS:
        kb_str_put(out, "rows");
        break;
    case KT_ARG_COLS:
        kb_str_put(out, "cols");
        break;
    case KT_ARG_FIRST_WORKER:
        kb_str_put(out, "first_worker");
        break;
    case KT_ARG_WORKERS:
        kb_str_put(out, "workers");
        break;
    case KT_ARG_PARTS:
        kb_str_put(out, "parts");
        break;
    case KT_ARG_PART_LENGTH:
        kb_str_put(out, "part_length");
        break;
    case KT_ARG_FIRST_PART:
        kb_str_put(out, "first_part");
        break;
    case KT_ARG_PARTIAL:
        kb_str_put(out, "partial");
        break;
    }
}

/* Whether the skeleton declares the parameter, behind KCL_..._PARAMETERS. */
static bool is_of_skeleton(kt_arg_kind kind)
{
    return kind == KT_ARG_ROWS || kind == KT_ARG_COLS || kind == KT_ARG_FIRST_WORKER || kind == KT_ARG_WORKERS ||
           kind == KT_ARG_PARTS || kind == KT_ARG_PART_LENGTH || kind == KT_ARG_FIRST_PART || kind == KT_ARG_PARTIAL;
}

static void put_entry(kb_str *out, kt_kernel_id id, const kt_signature *s)
{
    const char *separator = "";
    kb_str_putf(out, "\n__kernel void %s(%s_PARAMETERS ", kt_kernel_names[id], kt_macro_prefixes[id]);
    for (size_t k = 0; k < s->count; k++) {
        if (!is_of_skeleton(s->args[k].kind))
            continue;
        kb_str_putf(out, "%s%s", separator,
                    s->args[k].kind != KT_ARG_PARTIAL ? "const long "
                    : id == KT_SWEEP                  ? "__global real *restrict "
                                                      : "__global const real *restrict ");
        put_name(out, &s->args[k]);
        separator = ", ";
    }
    kb_str_putf(out, ")\n{\n    %s_body(", kt_kernel_names[id]);
    for (size_t k = 0; k < s->count; k++) {
        put_name(out, &s->args[k]);
        kb_str_put(out, ", ");
    }
    /* The numbers of a worker and of its part count from the first ones of the launch. */
    for (size_t k = 0; k < s->count; k++)
        if (s->args[k].kind == KT_ARG_FIRST_WORKER)
            kb_str_put(out, "first_worker + ");
    kb_str_put(out, "get_global_id(0), ");
    for (size_t k = 0; k < s->count; k++)
        if (s->args[k].kind == KT_ARG_FIRST_PART)
            kb_str_put(out, "first_part + ");
    kb_str_put(out, "get_global_id(1), get_global_id(2), get_global_size(0));\n}\n");
}

void kt_put_entries(kt_program *program)
{
    for (int k = 0; k < KT_KERNELS; k++)
        if (program->kernel[k].count)
            put_entry(&program->source, (kt_kernel_id)k, &program->kernel[k]);
}
