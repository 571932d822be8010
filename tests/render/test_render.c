/* SPDX-License-Identifier: MIT */
/*
 * The text of programs: kept in golden/, the same always, and with every operation where it is done least often.
 *
 *     test_render FOLDER            compares with FOLDER/NAME.cl
 *     KEOPSCL_GOLDEN_UPDATE=1 ...   writes FOLDER/NAME.cl: review what git says has changed
 */
#include "failing.h"
#include "programs.h"

#include <ctype.h>

static const char *golden_folder;
static kb_error err;

/* ---- Kept text --------------------------------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    size_t size = 1 << 20;
    char *text = malloc(size + 1);
    text[fread(text, 1, size, file)] = 0;
    fclose(file);
    return text;
}

static int line_length(const char *p)
{
    return (int)strcspn(p, "\n");
}

/* Prints the first lines that differ, behind two that agree. */
static void print_difference(const char *path, const char *want, const char *got)
{
    const char *before[3] = {want, want, want};
    int line = 1;
    while (*want && line_length(want) == line_length(got) && !strncmp(want, got, (size_t)line_length(want) + 1)) {
        want += line_length(want) + (want[line_length(want)] != 0);
        got += line_length(got) + (got[line_length(got)] != 0);
        before[0] = before[1];
        before[1] = before[2];
        before[2] = want;
        line++;
    }
    printf("--- %s\n+++ rendered\n@@ line %d @@\n", path, line);
    for (int k = line > 2 ? 0 : 3 - line; k < 2; k++)
        printf(" %.*s\n", line_length(before[k]), before[k]);
    for (int k = 0; k < 4 && *want; k++, want += line_length(want) + (want[line_length(want)] != 0))
        printf("-%.*s\n", line_length(want), want);
    for (int k = 0; k < 4 && *got; k++, got += line_length(got) + (got[line_length(got)] != 0))
        printf("+%.*s\n", line_length(got), got);
    printf("To keep the new text: KEOPSCL_GOLDEN_UPDATE=1 meson test -C BUILD render, then review the changes.\n");
    fflush(stdout); /* the test runs in a process that ends without */
}

START_TEST(text_is_the_kept_one)
{
    const program_case *c = &program_cases[_i];
    char path[1024];
    kt_program program;
    render_case(&program, c);
    char *front = malloc(program.body + 1);
    memcpy(front, kb_str_text(&program.source), program.body);
    front[program.body] = 0;
    snprintf(path, sizeof path, "%s/%s.cl", golden_folder, c->name);
    const char *update = getenv("KEOPSCL_GOLDEN_UPDATE");
    if (update && strcmp(update, "1") == 0) {
        ck_assert_msg(!getenv("CI"), "golden text is never written by continuous integration");
        FILE *file = fopen(path, "wb");
        ck_assert_msg(file != NULL, "%s cannot be written", path);
        ck_assert_uint_eq(fwrite(front, 1, program.body, file), program.body);
        ck_assert_int_eq(fclose(file), 0);
    }
    char *want = read_text(path);
    ck_assert_msg(want != NULL, "%s is missing", path);
    bool same = strcmp(want, front) == 0;
    if (!same)
        print_difference(path, want, front);
    ck_assert_msg(same, "the text of %s has changed", c->name);
    free(want);
    free(front);
    kt_program_finish(&program);
}
END_TEST

/* ---- The same text always ---------------------------------------------------------------------------------------- */

START_TEST(text_does_not_depend_on_what_was_built_before)
{
    const program_case *c = &program_cases[_i];
    kt_program program, again, later;
    render_case(&program, c);
    sweep_of s = {0};
    kf_graph_init(&s.g, NULL);
    /* Unrelated formulas, and this one's variables in another order, as other roles, and in other formulas. */
    sweep_fill(&s, KF_AXIS_J, RANDOM_VARIABLES, "", "");
    uint64_t seed = (uint64_t)_i;
    for (int k = 0; k < 20; k++)
        random_formula(&s, &seed, true);
    kf_graph g = s.g;
    s = (sweep_of){.g = g};
    for (int k = MOST - 1; k >= 0; k--)
        for (int32_t dim = 1; dim < 4; dim++)
            kf_unary(&s.g, KF_SIN, kf_var(&s.g, k, dim, (kf_role)(k % 3)));
    kp_plan *plan = plan_case(&s, c);
    render_plan(&later, plan);
    render_plan(&again, plan);
    ck_assert_str_eq(kb_str_text(&later.source), kb_str_text(&program.source));
    ck_assert_str_eq(kb_str_text(&again.source), kb_str_text(&program.source));
    kp_plan_destroy(&plan);
    sweep_finish(&s);
    kt_program_finish(&program);
    kt_program_finish(&again);
    kt_program_finish(&later);
}
END_TEST

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

/* The next token of C at *at, without comments; false at the end. Words of directives count. */
static bool next_token(const char **at, char *token, size_t size)
{
    const char *p = *at;
    for (;;) {
        p += strspn(p, " \n\\");
        if (p[0] == '/' && p[1] == '*')
            p = strstr(p, "*/") + 2;
        else if (p[0] == '/' && p[1] == '/')
            p += strcspn(p, "\n");
        else
            break;
    }
    size_t length = 1;
    if (isdigit((unsigned char)*p) || (*p == '.' && isdigit((unsigned char)p[1]))) {
        while (isalnum((unsigned char)p[length]) || p[length] == '.' ||
               (strchr("+-", p[length]) && p[length] && strchr(strncmp(p, "0x", 2) ? "eE" : "pP", p[length - 1])))
            length++;
    } else if (isalpha((unsigned char)*p) || *p == '_') {
        while (isalnum((unsigned char)p[length]) || p[length] == '_')
            length++;
    } else if (p[0] == '+' && p[1] == '=') {
        length = 2;
    }
    if (!*p)
        return false;
    snprintf(token, size, "%.*s", (int)length, p);
    *at = p + length;
    return true;
}

/* Drops the parts of the text that KCL_REAL_F64 switches on: blanks take their place. */
static void drop_double(char *text)
{
    int depth = 0, from = 0; /* `from`: depth of the conditional that is switched off, 0: none */
    for (char *line = text; *line;) {
        char *end = line + line_length(line);
        char word[16] = "";
        sscanf(line, "#%15[a-z]", word);
        bool begins = strncmp(word, "if", 2) == 0, ends = strcmp(word, "endif") == 0;
        depth += begins;
        if (begins && !from && strncmp(line, "#ifdef KCL_REAL_F64", 19) == 0)
            from = depth;
        else if ((strcmp(word, "else") == 0 || strcmp(word, "elif") == 0) && from == depth)
            from = 0;
        else if (ends && from == depth)
            from = 0;
        else if (from)
            memset(line, ' ', (size_t)(end - line));
        depth -= ends;
        line = end + (*end != 0);
    }
}

static bool is_floating(const char *token)
{
    bool hex = strncmp(token, "0x", 2) == 0;
    return (isdigit((unsigned char)*token) || (*token == '.' && token[1])) &&
           (strchr(token, '.') || strpbrk(token, hex ? "pP" : "eE"));
}

START_TEST(float_programs_hold_no_double)
{
    const program_case *c = &program_cases[_i];
    if (c->dtype == KCL_F64)
        return;
    kt_program program;
    render_case(&program, c);
    char *text = kb_strdup(&program.allocator, kb_str_text(&program.source)), token[4096], before[4096] = "";
    bool literal = false; /* inside KCL_R( ), which appends the f */
    int numbers = 0;
    drop_double(text);
    for (const char *p = text; next_token(&p, token, sizeof token);) {
        ck_assert_msg(strncmp(token, "double", 6) != 0 && strcmp(token, "as_double") != 0, "\"%s\" behind \"%s\" in %s",
                      token, before, c->name);
        literal = strcmp(token, "KCL_R") == 0 || (literal && strcmp(token, ")") != 0);
        if (is_floating(token)) {
            numbers++;
            ck_assert_msg(literal || token[strlen(token) - 1] == 'f', "%s is a double, in %s", token, c->name);
        }
        snprintf(before, sizeof before, "%s", token);
    }
    ck_assert_int_gt(numbers, 0);
    kb_free(&program.allocator, text);
    kt_program_finish(&program);
}
END_TEST

/* ---- Where operations stand -------------------------------------------------------------------------------------- */

enum { MOST_NAMES = 4096 };

/* Reads the statements of a section, and checks every operation's class. */
typedef struct reader {
    const char *at, *statement;
    char token[64];
    bool more;
    const char *section;
    unsigned want;  /* class of operations */
    unsigned long long seed;
    int operations;
    size_t count;   /* names, of all sections so far */
    struct {
        char text[16];
        unsigned set; /* KP_LANE, KP_STREAM */
    } name[MOST_NAMES];
} reader;

static void advance(reader *r)
{
    r->more = next_token(&r->at, r->token, sizeof r->token);
    if (!r->more)
        r->token[0] = 0;
}

static bool is(const reader *r, const char *text)
{
    return strcmp(r->token, text) == 0;
}

static void skip(reader *r, const char *text)
{
    ck_assert_msg(is(r, text), "seed %llu: expected %s, found %s in %.80s", r->seed, text, r->token, r->statement);
    advance(r);
}

static void operation(reader *r, unsigned set)
{
    r->operations++;
    ck_assert_msg(set == r->want, "seed %llu: %s computes a value of class %u, in %.*s", r->seed, r->section, set,
                  (int)strcspn(r->statement, ";"), r->statement);
}

static unsigned *class_of(reader *r, const char *name)
{
    for (size_t k = 0; k < r->count; k++)
        if (strcmp(r->name[k].text, name) == 0)
            return &r->name[k].set;
    ck_assert_uint_lt(r->count, MOST_NAMES);
    snprintf(r->name[r->count].text, sizeof r->name[0].text, "%s", name);
    r->name[r->count].set = 0;
    return &r->name[r->count++].set;
}

/* An index: whether it names the streamed element. */
static bool skip_index(reader *r)
{
    bool streamed = false;
    skip(r, "[");
    for (int depth = 1; depth; advance(r)) {
        depth += is(r, "[") - is(r, "]");
        streamed |= is(r, "j");
    }
    return streamed;
}

static unsigned expression(reader *r);

static unsigned call(reader *r, const char *name)
{
    unsigned set = 0, product = 0;
    int count = 0;
    bool fma = strcmp(name, "fma") == 0;
    do {
        advance(r);
        /* fma takes signs at no cost. */
        if (fma && is(r, "-"))
            advance(r);
        unsigned one = expression(r);
        set |= one;
        product |= count++ < 2 ? one : 0;
    } while (is(r, ","));
    skip(r, ")");
    if (strcmp(name, "kcl_gather") == 0)
        return KP_LANE;
    if (fma)
        operation(r, product);
    operation(r, set);
    return set;
}

static unsigned primary(reader *r)
{
    char name[64];
    unsigned set;
    snprintf(name, sizeof name, "%s", r->token);
    if (is(r, "-")) {
        advance(r);
        bool number = isdigit((unsigned char)r->token[0]);
        set = primary(r);
        if (!number)
            operation(r, set);
        return set;
    }
    advance(r);
    if (strcmp(name, "(") == 0) {
        bool cast = is(r, "lanes");
        set = expression(r);
        skip(r, ")");
        return cast ? primary(r) : set;
    }
    if (isdigit((unsigned char)name[0]) || strcmp(name, "lanes") == 0)
        return 0;
    if (is(r, "("))
        return call(r, name);
    bool streamed = is(r, "[") && skip_index(r);
    if (name[0] == 'a' && isdigit((unsigned char)name[1]))
        return streamed ? KP_STREAM : 0;
    return strchr("ijkv", name[0]) && !name[1] ? 0 : *class_of(r, name);
}

static unsigned product(reader *r)
{
    unsigned set = primary(r);
    while (is(r, "*") || is(r, "/")) {
        advance(r);
        set |= primary(r);
        operation(r, set);
    }
    return set;
}

static unsigned expression(reader *r)
{
    unsigned set = product(r);
    while (is(r, "+") || is(r, "-")) {
        advance(r);
        set |= product(r);
        operation(r, set);
    }
    return set;
}

/* "NAME(first, ...": up to the argument number `from`. */
static void skip_arguments(reader *r, int from)
{
    skip(r, "(");
    while (from) {
        from -= is(r, ",");
        advance(r);
    }
}

static void statement(reader *r)
{
    r->statement = r->at;
    if (is(r, "{") || is(r, "}") || is(r, "FOR_STREAM")) {
        advance(r);
    } else if (is(r, "FOR_INDEX")) {
        while (!is(r, "{"))
            advance(r);
    } else if (is(r, "KCL_STEP") || is(r, "KCL_STEP_PRODUCT")) {
        bool product = is(r, "KCL_STEP_PRODUCT");
        advance(r);
        skip_arguments(r, 3);
        unsigned set = expression(r);
        if (product) {
            skip(r, ",");
            set |= expression(r);
            operation(r, set);
        }
        skip(r, ")");
    } else if (is(r, "KCL_LOAD")) {
        advance(r);
        advance(r);
        *class_of(r, r->token) |= KP_LANE;
        while (!is(r, ")"))
            advance(r);
        advance(r);
    } else {
        if (is(r, "const"))
            advance(r);
        if (is(r, "lanes") || is(r, "real") || is(r, "int"))
            advance(r);
        char name[64];
        snprintf(name, sizeof name, "%s", r->token);
        advance(r);
        if (is(r, "["))
            skip_index(r);
        bool adds = is(r, "+=");
        if (is(r, "=") || adds) {
            advance(r);
            unsigned set = *class_of(r, name) | expression(r);
            *class_of(r, name) = set;
            if (adds)
                operation(r, set);
        }
        skip(r, ";");
    }
}

/* Reads the macro NAME of the program's front. */
static void read_section(reader *r, const char *program, const char *name, unsigned want)
{
    char start[64];
    snprintf(start, sizeof start, "#define %s", name);
    const char *p = strstr(program, start);
    ck_assert_msg(p != NULL, "%s", name);
    p += strlen(start);
    const char *end = p;
    while (end[line_length(end)] && line_length(end) && end[line_length(end) - 1] == '\\')
        end += line_length(end) + 1;
    end += line_length(end);
    char *text = calloc((size_t)(end - p) + 1, 1);
    memcpy(text, p, (size_t)(end - p));
    r->at = text;
    r->section = name;
    r->want = want;
    advance(r);
    while (r->more)
        statement(r);
    free(text);
}

START_TEST(operations_stand_where_they_are_done_least_often)
{
    static const kp_shape shapes[] = {KP_ROWS, KP_COLUMNS, KP_ROWS_BOTH, KP_ROWS_SPLIT};
    int inner = 0;
    for (unsigned long long first = 1; first <= 400; first++) {
        uint64_t seed = first;
        kp_shape shape = shapes[first % 4];
        sweep_of s;
        sweep_init(&s, NULL, shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, RANDOM_VARIABLES, "", "");
        for (int k = 0; k < 2; k++) {
            s.terms[k] = (kr_term){KF_REDUCE_SUM, 0, random_formula(&s, &seed, false)};
            s.outputs[k] = kf_var(&s.g, k, s.terms[k].formula->dim, KF_ROLE_ACC);
        }
        s.sweep.term_count = s.sweep.output_count = 2;
        kp_caps caps = cpu_caps(16, 32);
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, shape);
        kt_program program;
        render_plan(&program, plan);
        reader *r = calloc(1, sizeof *r);
        r->seed = first;
        read_section(r, kb_str_text(&program.source), "KCL_SWEEP_LAUNCH", 0);
        read_section(r, kb_str_text(&program.source), "KCL_SWEEP_LANE", KP_LANE);
        r->operations = 0;
        read_section(r, kb_str_text(&program.source), "KCL_SWEEP_BLOCK", KP_LANE | KP_STREAM);
        inner += r->operations;
        free(r);
        kt_program_finish(&program);
        kp_plan_destroy(&plan);
        sweep_finish(&s);
    }
    ck_assert_int_gt(inner, 2000);
}
END_TEST

/* ---- Sizes and failures ------------------------------------------------------------------------------------------ */

START_TEST(ten_thousand_operators_are_rendered_in_no_time)
{
    sweep_of s;
    sweep_init(&s, NULL, KF_AXIS_J, "x:i3 y:j3 b:j1 g:p1", "", "");
    const kf_node *x = s.names[0].value, *y = s.names[1].value, *vector = kf_binary(&s.g, KF_SUB, x, y);
    const kf_node *number = kf_dot(&s.g, x, y), *nested = vector;
    for (int k = 1; k <= 2500; k++) /* a chain of numbers */
        number = kf_unary(&s.g, KF_SIN, kf_binary(&s.g, KF_ADD, number, kf_rat(&s.g, 1, k)));
    for (int k = 1; k <= 1250; k++) /* stages: each sum needs the one before */
        nested = kf_binary(&s.g, KF_MULT, kf_unary(&s.g, KF_COS, kf_unary(&s.g, KF_SUM, nested)), vector);
    for (int k = 1; k <= 1250; k++) /* the same nodes in many ways */
        number = kf_binary(&s.g, KF_ADD, kf_binary(&s.g, KF_MULT, number, number), kf_unary(&s.g, KF_ABS, number));
    s.terms[0] = (kr_term){KF_REDUCE_SUM, 0, kf_binary(&s.g, KF_MULT, nested, number)};
    s.outputs[0] = kf_var(&s.g, 0, 3, KF_ROLE_ACC);
    s.sweep.term_count = s.sweep.output_count = 1;
    kp_caps caps = cpu_caps(16, 32);
    double start = kb_seconds();
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    kt_program program;
    render_plan(&program, plan);
    double seconds = kb_seconds() - start;
    ck_assert_msg(seconds < 2, "%.2f s", seconds);
    /* Brackets that pile up stop compilers. */
    int depth = 0, deepest = 0;
    char token[4096];
    for (const char *p = kb_str_text(&program.source); next_token(&p, token, sizeof token);) {
        depth += *token == '(' ? 1 : *token == ')' ? -1 : 0;
        deepest = KB_MAX(deepest, depth);
    }
    ck_assert_int_eq(depth, 0);
    ck_assert_int_lt(deepest, 64);
    kt_program_finish(&program);
    kp_plan_destroy(&plan);
    sweep_finish(&s);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    static const program_case c = {"failing", "x:i3 y:j3 b:j1 g:p1", "g*" GAUSS "*x*b;Log(b)/Norm2(Sin(x)*y)", "r0/r1",
                                   KP_ROWS_SPLIT, KCL_F32, 0, NULL, 0, false, KP_BY_LANES};
    failing counter = {0};
    kcl_allocator allocator = failing_allocator(&counter);
    sweep_of s = {0};
    kf_graph_init(&s.g, &allocator);
    kp_plan *plan = plan_case(&s, &c);
    long long blocks = atomic_load(&counter.blocks);
    kcl_status status = KCL_ERROR_NO_MEMORY;
    int n = 1;
    for (; status < 0; n++) {
        kt_program program;
        kb_error_clear(&err);
        counter.fail_at = atomic_load(&counter.requests) + n;
        status = kt_render(&program, plan, &err);
        counter.fail_at = 0;
        if (status < 0)
            ck_assert_msg(status == KCL_ERROR_NO_MEMORY && err.status == status, "request %d: %s", n, err.text);
        else
            kt_program_finish(&program);
        ck_assert_msg(atomic_load(&counter.blocks) == blocks, "request %d leaks", n);
    }
    ck_assert_int_gt(n, 20);
    kp_plan_destroy(&plan);
    sweep_finish(&s);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    golden_folder = argv[1];
    Suite *suite = suite_create("render");
    TCase *tc = tcase_create("render");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, text_is_the_kept_one, 0, PROGRAMS);
    tcase_add_loop_test(tc, text_does_not_depend_on_what_was_built_before, 0, PROGRAMS);
    tcase_add_loop_test(tc, float_programs_hold_no_double, 0, PROGRAMS);
    tcase_add_test(tc, operations_stand_where_they_are_done_least_often);
    tcase_add_test(tc, ten_thousand_operators_are_rendered_in_no_time);
    tcase_add_test(tc, every_allocation_may_fail);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
