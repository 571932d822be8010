/* SPDX-License-Identifier: MIT */
/*
 * cli/table.c: text tables, one row a line; docs/tool.md tells the rules. What may be a row is never passed over: the
 * row is read, or the table is refused with its line and column.
 */
#define _POSIX_C_SOURCE 200809L /* getc_unlocked */
#include "data.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN = 40 }; /* bytes of a cell that messages show */

typedef enum cell_kind { NUMBER, MISSING, NAME, WORD } cell_kind;

typedef struct cell {
    char *text; /* without blanks around the text, without quotes */
    cell_kind kind;
    double value; /* NaN: the cell is no number */
} cell;

/* A number of the table: all are whole until a number is found that is not. */
typedef union number {
    int64_t whole;
    double real;
} number;

typedef struct text_reader {
    const char *label;
    FILE *file;
    missing_rule missing;
    char *text; /* the line being read */
    size_t length, text_capacity;
    cell *cells; /* of the line */
    int64_t count;
    size_t cells_capacity;
    char delimiter;           /* ';', ',', a tab or a blank; 0: the lines so far have one cell each */
    long long line;           /* counted from 1 */
    long long delimiter_line; /* the first line with several cells */
    long long empty_line;     /* the first empty line behind a row, or 0 */
    long long names_line;     /* the line with the names of columns, or 0 */
    int64_t names;
    bool real;
    number *numbers;
    size_t number_count, number_capacity;
    int64_t rows, columns;
    /* The first whole number that no double holds; it is refused once the table has to be of doubles. */
    long long inexact_line, inexact_column;
    char inexact[SHOWN + 1];
} text_reader;

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

/* Makes room for one more element. */
static bool grow(void *array, size_t *capacity, size_t count, size_t size)
{
    void *old, *moved;
    if (count < *capacity)
        return true;
    size_t grown = *capacity ? *capacity * 2 : 256;
    memcpy(&old, array, sizeof old);
    if (grown > PTRDIFF_MAX / size || !(moved = realloc(old, grown * size)))
        return false;
    memcpy(array, &moved, sizeof moved);
    *capacity = grown;
    return true;
}

/* Reads a line, which LF, CR, both or the end of the file closes. *found is false behind the last line. */
static int next_line(text_reader *r, bool *found, fault *f)
{
    int c = getc_unlocked(r->file);
    *found = c != EOF;
    for (r->length = 0;; c = getc_unlocked(r->file)) {
        if (!grow(&r->text, &r->text_capacity, r->length, 1))
            return fail_memory(f);
        if (c == EOF || c == '\n' || c == '\r')
            break;
        r->text[r->length++] = (char)c;
    }
    if (c == '\r') {
        c = getc_unlocked(r->file);
        if (c != EOF && c != '\n')
            ungetc(c, r->file);
    }
    if (ferror(r->file))
        return fail(f, EXIT_COMPUTATION, "%s: cannot be read: %s", r->label, strerror(errno));
    r->text[r->length] = 0;
    r->line += *found;
    return EXIT_DONE;
}

static int check_bytes(const text_reader *r, fault *f)
{
    if (r->line == 1 && (strncmp(r->text, "\xff\xfe", 2) == 0 || strncmp(r->text, "\xfe\xff", 2) == 0))
        return fail(f, EXIT_COMPUTATION, "%s: a text in UTF-16; save it as UTF-8", r->label);
    for (size_t k = 0; k < r->length; k++)
        if (iscntrl((unsigned char)r->text[k]) && !isspace((unsigned char)r->text[k]))
            return fail(f, EXIT_COMPUTATION, "%s: neither a .npy file nor a text table: line %lld has a byte 0x%02x",
                        r->label, r->line, (unsigned char)r->text[k]);
    return EXIT_DONE;
}

/* ---- Cells ------------------------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c && isspace((unsigned char)c);
}

static char *skip_blanks(char *p, char delimiter)
{
    while (is_blank(*p) && (*p != '\t' || delimiter != '\t'))
        p++;
    return p;
}

/* The quote that closes the quote at p, or NULL. Two quotes inside stand for one. */
static char *closing_quote(char *p)
{
    for (p++; *p; p++)
        if (*p == '"' && *++p != '"')
            return p - 1;
    return NULL;
}

static int fail_quote(const text_reader *r, fault *f)
{
    return fail(f, EXIT_COMPUTATION, "%s: line %lld: a quoted cell is not closed", r->label, r->line);
}

/*
 * Cuts the comment off, and finds what separates the cells of the line: 0 for a single cell. A comment is a '#' at the
 * beginning of a cell, with a blank, another '#' or the end of the line behind it: "#N/A" is no comment.
 */
static int find_delimiter(const text_reader *r, char *line, char *delimiter, bool *has_comment, fault *f)
{
    bool seen[4] = {false};
    static const char delimiters[] = {';', ',', '\t', ' '};
    char *text_end = line; /* behind the last byte that is no blank */
    bool begins = true, pending_tab = false, pending_blank = false;
    *has_comment = false;
    for (char *p = line; *p; p++) {
        if (begins && *p == '#' && (is_blank(p[1]) || p[1] == '#' || !p[1])) {
            *p = 0;
            *has_comment = true;
            break;
        }
        if (is_blank(*p)) {
            pending_tab |= *p == '\t';
            pending_blank |= *p != '\t';
            begins = true;
            continue;
        }
        /* Blanks at either end separate nothing, but a tab in front is behind an empty cell. */
        seen[2] |= pending_tab;
        seen[3] |= pending_blank && text_end > line;
        pending_tab = pending_blank = false;
        if (begins && *p == '"') {
            if (!(p = closing_quote(p)))
                return fail_quote(r, f);
            begins = false;
        } else {
            seen[0] |= *p == ';';
            seen[1] |= *p == ',';
            begins = *p == ';' || *p == ',';
        }
        text_end = p + 1;
    }
    *delimiter = 0;
    for (int k = 0; k < 4 && !*delimiter; k++)
        *delimiter = seen[k] ? delimiters[k] : 0;
    if (!*delimiter && pending_tab)
        *delimiter = '\t';
    return EXIT_DONE;
}

/* Takes the quotes off the cell at p, whose second quote is at `end`; returns what is behind. */
static char *unquote(char *p, char *end, char **text)
{
    char *to;
    *text = to = p + 1;
    for (char *from = p + 1; from < end; from++) {
        *to++ = *from;
        from += *from == '"';
    }
    while (to > *text && is_blank(to[-1]))
        to--;
    *to = 0;
    *text = skip_blanks(*text, 0);
    return end + 1;
}

/* Cuts the line into cells, which stay where they are. */
static int split(text_reader *r, char *p, char delimiter, fault *f)
{
    bool by_blanks = delimiter == ' ' || delimiter == 0, more = true;
    for (r->count = 0; more; r->count++) {
        p = skip_blanks(p, delimiter);
        if (by_blanks && !*p)
            break;
        if (!grow(&r->cells, &r->cells_capacity, (size_t)r->count, sizeof *r->cells))
            return fail_memory(f);
        cell *c = &r->cells[r->count];
        if (*p == '"') {
            char *closing = closing_quote(p);
            if (!closing)
                return fail_quote(r, f);
            char *behind = unquote(p, closing, &c->text);
            p = skip_blanks(behind, delimiter);
            if (*p && (by_blanks ? p == behind : *p != delimiter))
                return fail(f, EXIT_COMPUTATION, "%s: line %lld, column %lld: something follows a closing quote",
                            r->label, r->line, (long long)r->count + 1);
            more = by_blanks || *p;
            p += !by_blanks && *p;
            continue;
        }
        char *end = p;
        while (*end && (by_blanks ? !is_blank(*end) : *end != delimiter))
            end++;
        more = *end;
        c->text = p;
        p = end + more;
        while (end > c->text && is_blank(end[-1]))
            end--;
        *end = 0;
    }
    /* A tab may close a row as well as separate cells. */
    int64_t wanted = r->rows ? r->columns : r->names;
    if (delimiter == '\t' && r->count > 1 && !*r->cells[r->count - 1].text && (!wanted || r->count > wanted))
        r->count--;
    return EXIT_DONE;
}

/* Words for a missing value. "nan" is a number. */
static bool is_missing(const char *text)
{
    static const char *const words[] = {"",     "-",   "--",   ".",    "?",    "NA",       "N/A",
                                        "#N/A", "#NA", "<NA>", "NULL", "None", "#N/A N/A", "#NV"};
    size_t length = strlen(text);
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (strcasecmp(text, words[k]) == 0)
            return true;
    return text[0] == '#' && (text[length - 1] == '!' || text[length - 1] == '?'); /* #DIV/0! of spreadsheets */
}

/* Whether a word may be the name of a column, and is no number that is written wrong: "1,5", "1e999", "$5". */
static bool is_name(const char *text)
{
    text += *text == '#';
    return isalpha((unsigned char)*text) || *text == '_' || !strpbrk(text, "0123456789");
}

static void classify(cell *c)
{
    c->kind = parse_number(c->text, &c->value) ? NUMBER
              : is_missing(c->text)            ? MISSING
              : is_name(c->text)               ? NAME
                                               : WORD;
    if (c->kind != NUMBER)
        c->value = NAN;
}

/* The text as messages show it: short, on one line, and without half a character of UTF-8. */
static const char *shown(char to[SHOWN + 1], const char *text)
{
    size_t length = strlen(text);
    if (length > SHOWN)
        for (length = SHOWN; length && ((unsigned char)text[length] & 0xc0) == 0x80;)
            length--;
    for (size_t k = 0; k < length; k++)
        to[k] = is_blank(text[k]) ? ' ' : text[k];
    to[length] = 0;
    return to;
}

/* Why a word is no number, if that can be told. */
static const char *word_hint(const text_reader *r, const char *text)
{
    const char *comma = strchr(text, ',');
    char *end;
    errno = 0;
    strtod(text, &end);
    if (errno == ERANGE && *end == 0)
        return " of double precision";
    if (comma && strspn(text, "+-,.0123456789eE") == strlen(text))
        return ": numbers are written with a point, not a comma";
    if (r->delimiter == ',' && strspn(text, "+-.0123456789eE \t") == strlen(text) && strpbrk(text, " \t"))
        return ": here ',' separates cells, numbers are written with a point";
    if (*text == '#')
        return "; a comment is '#' and a blank";
    if (r->names_line && !r->rows)
        return ", and the names of columns are one line; '# ' begins a comment";
    return "";
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* Whether a whole number is the double that its digits are read as. */
static bool digits_are_exact(const char *digits, double value)
{
    char exact[340];
    digits += strspn(digits, "0");
    snprintf(exact, sizeof exact, "%.0f", fabs(value));
    return strcmp(exact, *digits ? digits : "0") == 0;
}

static int fail_inexact(const text_reader *r, fault *f)
{
    return fail(f, EXIT_COMPUTATION,
                "%s: line %lld, column %lld: float64 does not hold %s; "
                "write it with a decimal point where it may be rounded",
                r->label, r->inexact_line, r->inexact_column, r->inexact);
}

static int append(text_reader *r, const cell *c, int64_t column, fault *f)
{
    const char *digits = c->text + (*c->text == '-' || *c->text == '+');
    bool is_whole = *digits && digits[strspn(digits, "0123456789")] == 0;
    number n = {.real = c->value};
    int64_t whole;
    bool fits = is_whole && parse_whole(c->text, &whole);
    if (is_whole && !r->inexact_line && strlen(digits) > 15 && !digits_are_exact(digits, c->value)) {
        r->inexact_line = r->line;
        r->inexact_column = column;
        shown(r->inexact, c->text);
    }
    if (!r->real && fits) {
        n.whole = whole;
    } else if (!r->real) {
        for (size_t k = 0; k < r->number_count; k++)
            r->numbers[k].real = (double)r->numbers[k].whole;
        r->real = true;
    }
    if (r->real && r->inexact_line)
        return fail_inexact(r, f);
    if (!grow(&r->numbers, &r->number_capacity, r->number_count, sizeof *r->numbers))
        return fail_memory(f);
    r->numbers[r->number_count++] = n;
    return EXIT_DONE;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static int read_row(text_reader *r, fault *f)
{
    char word[SHOWN + 1];
    for (int64_t k = 0; k < r->count; k++) {
        const cell *c = &r->cells[k];
        if (c->kind == WORD || c->kind == NAME)
            return fail(f, EXIT_COMPUTATION, "%s: line %lld, column %lld: '%s' is not a number%s", r->label, r->line,
                        (long long)k + 1, shown(word, c->text), word_hint(r, c->text));
        if (c->kind == MISSING && r->missing == MISSING_IS_ERROR)
            return fail(f, EXIT_COMPUTATION, "%s: line %lld, column %lld: %s%s%s; --missing nan reads NaN", r->label,
                        r->line, (long long)k + 1, *c->text ? "'" : "", shown(word, c->text),
                        *c->text ? "' is a missing value" : "the cell is empty");
        int code = append(r, c, k + 1, f);
        if (code)
            return code;
    }
    if (r->rows > 0 && r->count != r->columns)
        return fail(f, EXIT_COMPUTATION, "%s: line %lld has %lld numbers, the rows before it have %lld", r->label,
                    r->line, (long long)r->count, (long long)r->columns);
    if (r->names_line && r->count != r->names)
        return fail(f, EXIT_COMPUTATION,
                    "%s: line %lld has %lld names of columns, line %lld has %lld numbers; '# ' "
                    "begins a title",
                    r->label, r->names_line, (long long)r->names, r->line, (long long)r->count);
    r->columns = r->count;
    r->rows++;
    return EXIT_DONE;
}

static const char *delimiter_name(char delimiter)
{
    return delimiter == ';' ? "';'" : delimiter == ',' ? "','" : delimiter == '\t' ? "tabs" : "blanks";
}

static int read_line(text_reader *r, fault *f)
{
    char delimiter = 0, *line = r->text;
    bool has_comment = false;
    int code = check_bytes(r, f);
    if (code)
        return code;
    if (r->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0) /* the byte order mark that some programs write */
        line += 3;
    code = find_delimiter(r, line, &delimiter, &has_comment, f);
    if (code)
        return code;
    /* A line of blanks. In a table with tabs, a line with a tab is a row of empty cells. */
    if (line[strspn(line, " \t\v\f")] == 0 && (has_comment || r->delimiter != '\t' || delimiter != '\t')) {
        if (r->rows && !has_comment && !r->empty_line)
            r->empty_line = r->line;
        return EXIT_DONE;
    }
    if (r->empty_line)
        return fail(f, EXIT_COMPUTATION, "%s: line %lld is empty and rows follow: a missing row, or another table",
                    r->label, r->empty_line);
    if (delimiter && r->delimiter && delimiter != r->delimiter)
        return fail(f, EXIT_COMPUTATION,
                    "%s: line %lld separates cells by %s, line %lld by %s; numbers are written "
                    "with a point",
                    r->label, r->line, delimiter_name(delimiter), r->delimiter_line, delimiter_name(r->delimiter));
    if (delimiter && !r->delimiter) {
        r->delimiter = delimiter;
        r->delimiter_line = r->line;
    }
    code = split(r, line, delimiter, f);
    bool names = !code && !r->rows && !r->names_line;
    for (int64_t k = 0; !code && k < r->count; k++) {
        classify(&r->cells[k]);
        names = names && r->cells[k].kind == NAME;
    }
    if (code || !names)
        return code ? code : read_row(r, f);
    r->names_line = r->line;
    r->names = r->count;
    return EXIT_DONE;
}

int text_read(table *t, FILE *file, const char *label, missing_rule missing, fault *f)
{
    text_reader r = {.label = label, .file = file, .missing = missing};
    bool found;
    int code;
    *t = (table){0};
    errno = 0;
    while (!(code = next_line(&r, &found, f)) && found && !(code = read_line(&r, f)))
        ;
    if (!code && r.rows == 0)
        code = fail(f, EXIT_COMPUTATION, "%s: the text table has no numbers", label);
    free(r.text);
    free(r.cells);
    if (code) {
        free(r.numbers);
        return code;
    }
    *t = (table){r.numbers, r.real ? KCL_F64 : KCL_I64, r.real ? KCL_F32 : KCL_I64, 2, r.rows, r.columns};
    return EXIT_DONE;
}

/* Writes the fewest digits, from a usual number of digits upwards, that are read as the same number. */
static void write_number(const table *t, int64_t index, FILE *file)
{
    char text[40];
    if (t->dtype == KCL_I64) {
        fprintf(file, "%lld", (long long)((const int64_t *)t->values)[index]);
        return;
    }
    double value = table_get(t, index);
    bool single = t->dtype == KCL_F32;
    if (isnan(value)) {
        fputs("nan", file); /* printf may write a sign */
        return;
    }
    for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    fputs(text, file);
}

void text_write(const table *t, FILE *file)
{
    for (int64_t i = 0; i < t->rows && !ferror(file); i++)
        for (int64_t j = 0; j < t->columns; j++) {
            write_number(t, i * t->columns + j, file);
            putc(j + 1 < t->columns ? ' ' : '\n', file);
        }
}
