/* SPDX-License-Identifier: MIT */
/*
 * The parser on any bytes: no crash, and a text that is read gives the same formula after being written and read again.
 *
 * With clang: a libFuzzer target, `fuzz_parse CORPUS`. Otherwise a program that takes the files in its arguments, so
 * that what the fuzzer once found stays found.
 */
#include "make.h"
#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXT = 2048, MOST_PRINTED = 1 << 16, MOST_DERIVATIVES = 3 };

static kf_graph g;
static kb_error err;
static kf_binding bindings[4];

static const char *name_of(void *user, const kf_node *var)
{
    (void)user;
    for (size_t k = 0; k < KB_COUNT(bindings); k++)
        if (var == bindings[k].value)
            return bindings[k].name;
    return NULL;
}

static void check(bool ok, const char *what, const char *text)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n%s\n", what, text, err.text);
    abort();
}

/* An error is a sentence. If the error shows the text, a caret stands alone in the last line. */
static void check_error(kcl_status status, const char *text)
{
    check(status == err.status && err.text[0] && !g.error.status, "error without text", text);
    const char *last = strrchr(err.text, '\n');
    check(!last || strcmp(last + 1 + strspn(last + 1, " "), "^") == 0, "error without caret", text);
}

/* Texts of sound nodes that the parser may refuse: deeper by parentheses, or of a gradient that chooses rows. */
static bool may_refuse(void)
{
    return strstr(err.text, "nested more than") || strstr(err.text, "unknown reduction 'Gather_Reduction'") ||
           strstr(err.text, "unknown reduction 'Scatter_Reduction'") ||
           strstr(err.text, "this divides by 0"); /* the divisor that a derivative has left */
}

static bool read_one(const char *text, bool is_reduction, kf_parsed_reduction *out, size_t *count)
{
    int64_t next_index = 4;
    kcl_status status = is_reduction
                            ? kf_parse_reductions(&g, text, KB_COUNT(bindings), bindings, &next_index, count, out, &err)
                            : kf_parse_formula(&g, text, KB_COUNT(bindings), bindings, &next_index, &out->node, &err);
    if (status < 0)
        check_error(status, text);
    return status == KCL_OK;
}

static void try_text(const char *text, bool is_reduction)
{
    kf_parsed_reduction first[KF_MAX_RESULTS], second[KF_MAX_RESULTS];
    size_t count = 1, again = 1;
    kb_str out;
    if (!read_one(text, is_reduction, first, &count))
        return;
    for (size_t k = 0; k < count; k++) {
        kb_str_init(&out, NULL);
        if (is_reduction)
            kf_print_reduction(&out, &first[k], name_of, NULL, MOST_PRINTED);
        else
            kf_print(&out, first[k].node, name_of, NULL, MOST_PRINTED);
        if (out.length < MOST_PRINTED) {
            bool ok = read_one(kb_str_text(&out), is_reduction, second, &again);
            check(ok || may_refuse(), "not read back", kb_str_text(&out));
            check(!ok || second[0].node == first[k].node, "read back as another node", kb_str_text(&out));
            check(!ok || !is_reduction || second[0].tag == first[k].tag, "another tag", kb_str_text(&out));
        }
        kb_str_finish(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[MOST_TEXT + 1];
    kf_alias alias;
    static const char *const derived[] = {"Grad", "Diff", "Divergence", "Laplacian", "Operator"};
    int derivatives = 0;
    size = KB_MIN(size, MOST_TEXT);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    for (size_t k = 0; k < KB_COUNT(derived); k++)
        for (const char *c = text; (c = strstr(c, derived[k])) != NULL; c++)
            derivatives++;
    kf_graph_init(&g, NULL);
    bindings[0] = (kf_binding){"x", kf_var(&g, 0, 3, KF_ROLE_I)};
    bindings[1] = (kf_binding){"y", kf_var(&g, 1, 3, KF_ROLE_J)};
    bindings[2] = (kf_binding){"p", kf_var(&g, 2, 1, KF_ROLE_P)};
    bindings[3] = (kf_binding){"b", kf_var(&g, 3, 1, KF_ROLE_J)};
    if (derivatives <= MOST_DERIVATIVES) { /* derivatives of derivatives grow with every one */
        try_text(text, false);
        try_text(text, true);
    }
    if (kf_parse_alias(kf_allocator(&g), text, &alias, &err) < 0)
        check_error(err.status, text);
    kf_graph_finish(&g);
    return 0;
}

#ifndef KF_LIBFUZZER
int main(int argc, char **argv)
{
    for (int k = 1; k < argc; k++) {
        uint8_t data[MOST_TEXT];
        FILE *file = fopen(argv[k], "rb");
        if (!file) {
            perror(argv[k]);
            return 1;
        }
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
    }
    return argc > 1 ? 0 : 2;
}
#endif
