/* SPDX-License-Identifier: MIT */
/* run/notes.c: programs, and notes about the forms of squared distances, that the context keeps. */
#include "cache.h"

/* The form that a step last had, for descriptions. */
typedef struct form_note {
    kx_kept kept;
    char text[KX_FORM_NOTE];
} form_note;

typedef struct kept_program {
    kx_kept kept;
    kg_program *program;
} kept_program;

static void destroy_note(kcl_context *context, kx_kept *note)
{
    kb_free(kd_allocator(context), note);
}

static void destroy_program(kcl_context *context, kx_kept *kept)
{
    kg_program_destroy(&((kept_program *)kept)->program);
    kb_free(kd_allocator(context), kept);
}

static const kx_kept_kind notes = {destroy_note, NULL}, programs = {destroy_program, NULL};

uint64_t kx_note_key(const kg_program *program, size_t step, kcl_dtype dtype)
{
    return kb_hash_combine(kb_hash_combine(kb_hash_combine(program->key, step), dtype), program->options.form);
}

char *kx_form_note(kcl_context *context, uint64_t key, bool make)
{
    form_note *note = kx_look_up(context, KX_NOTES, key);
    if (!note && make) {
        note = kb_calloc(kd_allocator(context), 1, sizeof *note);
        if (!note)
            kb_no_memory(kd_error(context));
        else if (kx_keep(context, KX_NOTES, &note->kept, &notes, key) < 0)
            note = NULL;
    }
    return note ? note->text : NULL;
}

const kg_program *kx_kept_program(kcl_context *context, uint64_t structure)
{
    const kept_program *k = kx_look_up(context, KX_PROGRAMS, structure);
    return k ? k->program : NULL;
}

const kg_program *kx_keep_program(kcl_context *context, uint64_t structure, kg_program *program)
{
    kept_program *k = kb_calloc(kd_allocator(context), 1, sizeof *k);
    if (!k) {
        kb_no_memory(kd_error(context));
        kg_program_destroy(&program);
        return NULL;
    }
    k->program = program;
    k->kept.weight = program->graph.count;
    return kx_keep(context, KX_PROGRAMS, &k->kept, &programs, structure) < 0 ? NULL : program;
}
