/* SPDX-License-Identifier: MIT */
/*
 * render/library.h: the OpenCL C of cl/, of which a program gets what it uses.
 *
 * cl/embed.awk divides the files into pieces: what stands outermost in them. A piece defines names, and uses the names in
 * its text. A program has the pieces that define its kernels, and what the generated text and these pieces use, and so on.
 * R##_JOIN, where R is a word of the program, uses that word with _JOIN behind it.
 */
#ifndef KT_LIBRARY_H
#define KT_LIBRARY_H

#include "base.h"

typedef enum kt_piece_kind {
    KT_PIECE_CODE,   /* a function or a type: sees what stands before it */
    KT_PIECE_MACRO,  /* sees everything: it is expanded later */
    KT_PIECE_BRANCH, /* a line #if, #elif or #else */
    KT_PIECE_END,    /* a line #endif */
    KT_PIECE_ALWAYS, /* a line #pragma or #undef */
} kt_piece_kind;

enum { KT_MAX_PIECES = 2048, KT_MAX_NAMES = 2048 }; /* cl/embed.awk keeps to these */

typedef struct kt_cl_counts {
    int files, pieces, names, pasted, buckets;
} kt_cl_counts;

/* Tables that cl/embed.awk writes. A table of first elements has one entry more, where the last ones end. */
extern const kt_cl_counts kt_cl;
extern const char *const kt_cl_file_name[];     /* in cl/, without ".cl" */
extern const uint16_t kt_cl_first_piece[];      /* by file */
extern const unsigned char kt_cl_text[];        /* of all pieces */
extern const uint32_t kt_cl_start[];            /* by piece: of its text */
extern const unsigned char kt_cl_kind[];        /* by piece: kt_piece_kind */
extern const int16_t kt_cl_inside[];            /* by piece: the branch that it stands in, -1: none */
extern const int16_t kt_cl_first_branch[];      /* by piece, of branches and ends: the #if */
extern const int16_t kt_cl_next_branch[];       /* by piece, of branches: the next one, or the end */
extern const unsigned char kt_cl_names[];       /* of all names, a zero behind each */
extern const uint16_t kt_cl_name_start[];       /* by name */
extern const int16_t kt_cl_bucket[];            /* by hash: a name, -1: none */
extern const int16_t kt_cl_next_name[];         /* by name: the next one of the bucket, -1: none */
extern const uint16_t kt_cl_first_definition[]; /* by name */
extern const uint16_t kt_cl_definition[];       /* pieces, in order */
extern const uint16_t kt_cl_paste_stem[];       /* names: "SUM", */
extern const uint16_t kt_cl_paste_suffix[];     /* "##_JOIN" and */
extern const uint16_t kt_cl_paste_result[];     /* "SUM_JOIN" */

/*
 * Appends to `out`, which holds the generated text, what that and `words` use of the named files. Kernels are among the
 * words. A file is named as in cl/, without ".cl"; "reduce/" stands for all of a folder.
 */
void kt_put_library(kb_str *out, const char *const *files, size_t file_count, const char *words);

#endif
