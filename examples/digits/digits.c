/* SPDX-License-Identifier: MIT */
/*
 * Reads handwritten digits: each query image is taken for the digit of its nearest reference image.
 *
 *     digits [DIGITS.txt [PICTURE]]     classifies, checks, and draws what was read wrong: PICTURE.png (.ppm)
 *
 * DIGITS.txt has an image a line: its label and 64 grey values, see examples/data/README.md. The first 1,000 images are
 * the references, the others the queries. An image is a point of 64 dimensions; the index of the nearest reference y_j
 * of every query x_i is one reduction, ArgMin over j of |x_i - y_j|^2, and the distances are never stored.
 */
#include "../common/common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "digits";

enum {
    SIDE = 8,
    PIXELS = SIDE * SIDE,
    DARKEST = 16,
    REFERENCES = 1000,
    /* Sizes of the picture in pixels: a grey value, an image, a space and a cell; then the cells of a row. */
    SCALE = 6,
    IMAGE = SIDE * SCALE,
    SPACE = 8,
    CELL = 2 * IMAGE + SPACE,
    COLUMNS = 8,
};

typedef struct images {
    size_t count;
    float *grey; /* (count, PIXELS) */
    int *label;  /* (count) */
} images;

static images read_images(const char *path)
{
    static const char figures[] = "0123456789abcdefg";
    images d = {0, NULL, NULL};
    FILE *file = fopen(path, "r");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    size_t capacity = 0, line_number = 0;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        line_number++;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        const size_t end = strcspn(line, "\r\n");
        if (end != 2 + PIXELS || line[0] < '0' || line[0] > '9' || line[1] != ' ' ||
            strspn(line + 2, figures) != PIXELS)
            fail("%s, line %zu: expected a label 0 to 9, a space and %d figures 0 to g", path, line_number, PIXELS);
        if (d.count == capacity) {
            capacity = capacity ? 2 * capacity : 2048;
            d.grey = realloc(d.grey, capacity * PIXELS * sizeof *d.grey);
            d.label = realloc(d.label, capacity * sizeof *d.label);
            if (!d.grey || !d.label)
                fail("memory is exhausted");
        }
        for (size_t k = 0; k < PIXELS; k++)
            d.grey[d.count * PIXELS + k] = (float)(strchr(figures, line[2 + k]) - figures);
        d.label[d.count++] = line[0] - '0';
    }
    fclose(file);
    if (d.count <= REFERENCES)
        fail("%s holds %zu images; more than the %d references are needed", path, d.count, REFERENCES);
    return d;
}

/* ---- Report ------------------------------------------------------------------------------------------------------ */

/*
 * Returns how many indices are not the first nearest reference by a plain loop. Grey values are small whole numbers. So
 * the distances are exact in float, and there are ties.
 */
static size_t count_differences(const float *x, size_t queries, const float *y, const int64_t *nearest)
{
    size_t differences = 0;
    for (size_t i = 0; i < queries; i++) {
        long least = -1;
        int64_t index = -1;
        for (int64_t j = 0; j < REFERENCES; j++) {
            long distance = 0;
            for (size_t k = 0; k < PIXELS; k++) {
                long d = (long)x[i * PIXELS + k] - (long)y[(size_t)j * PIXELS + k];
                distance += d * d;
            }
            if (least < 0 || distance < least) {
                least = distance;
                index = j;
            }
        }
        differences += nearest[i] != index;
    }
    return differences;
}

/*
 * Prints how many queries were read right, and what the digit that was read worst was taken for. Returns the number of
 * queries that were read wrong.
 */
static int print_accuracy(const images *d, const int64_t *nearest)
{
    int taken[10][10] = {{0}}, total[10] = {0}, right = 0, hardest = 0;
    const int queries = (int)(d->count - REFERENCES);
    for (int i = 0; i < queries; i++) {
        const int label = d->label[REFERENCES + i];
        taken[label][d->label[nearest[i]]]++;
        total[label]++;
    }
    for (int k = 0; k < 10; k++) {
        right += taken[k][k];
        if (taken[k][k] * total[hardest] < taken[hardest][hardest] * total[k])
            hardest = k;
    }
    printf("accuracy    %d of %d right: %.1f %%\n", right, queries, 100.0 * right / queries);
    printf("hardest     %d, of which %d of %d were read right", hardest, taken[hardest][hardest], total[hardest]);
    for (int k = 0; k < 10; k++) {
        if (k != hardest && taken[hardest][k])
            printf(", %d as %d", taken[hardest][k], k);
    }
    printf("\n");
    return queries - right;
}

static void draw_image(unsigned char *rgb, size_t width, const float *grey)
{
    for (size_t row = 0; row < IMAGE; row++) {
        for (size_t column = 0; column < IMAGE; column++) {
            const float ink = grey[row / SCALE * SIDE + column / SCALE] / DARKEST;
            memset(rgb + 3 * (row * width + column), (int)(255 * (1 - ink)), 3);
        }
    }
}

/* Draws each query that was read wrong, and the nearest reference on the right of the query. */
static bool draw(const char *name, const images *d, const int64_t *nearest, int wrong)
{
    const int rows = (wrong + COLUMNS - 1) / COLUMNS;
    const size_t width = COLUMNS * CELL + SPACE, height = (size_t)rows * (IMAGE + SPACE) + SPACE;
    unsigned char *rgb = allocate(width * height, 3);
    memset(rgb, 96, width * height * 3);
    for (size_t i = REFERENCES, cell = 0; i < d->count; i++) {
        const size_t reference = (size_t)nearest[i - REFERENCES];
        if (d->label[i] == d->label[reference])
            continue;
        const size_t top = SPACE + cell / COLUMNS * (IMAGE + SPACE), left = SPACE + cell % COLUMNS * CELL;
        draw_image(rgb + 3 * (top * width + left), width, d->grey + i * PIXELS);
        draw_image(rgb + 3 * (top * width + left + IMAGE), width, d->grey + reference * PIXELS);
        cell++;
    }
    char caption[128];
    snprintf(caption, sizeof caption, "the %d queries read wrong, each with its nearest reference on the right", wrong);
    bool written = write_picture(name, (int)width, (int)height, rgb, caption);
    free(rgb);
    return written;
}

/* ---- Main -------------------------------------------------------------------------------------------------------- */

typedef struct search {
    kcl_expr *nearest;    /* lazy: ArgMin over j of |x_i - y_j|^2 */
    const kcl_array *out; /* receives the indices */
} search;

static kcl_status run(void *user)
{
    search *s = user;
    return kcl_eval1(s->nearest, s->out);
}

static void print_text(void *user, const char *text, size_t length)
{
    fwrite(text, 1, length, user);
}

static int classify(kcl_context *context, const char *path, const char *picture)
{
    images d = read_images(path);
    const size_t queries = d.count - REFERENCES;
    const float *references = d.grey, *query = d.grey + REFERENCES * PIXELS;
    int64_t *nearest = allocate(queries, sizeof *nearest);

    kcl_scope *scope = kcl_scope_create(context);
    kcl_expr *x = kcl_vi(scope, kcl_f32(query, (int64_t)queries, PIXELS));
    kcl_expr *y = kcl_vj(scope, kcl_f32(references, REFERENCES, PIXELS));
    search s = {kcl_reduce_argmin(kcl_sqdist(x, y), KCL_OVER_J), kcl_i64(nearest, (int64_t)queries)};
    timing t = time_calls(run, &s, context, 1000, 2);

    print_device(context);
    printf("formula     ");
    kcl_expr_print(s.nearest, print_text, stdout);
    printf("\ndata        %s: %zu images of %d x %d grey values, %d references and %zu queries\n", path, d.count, SIDE,
           SIDE, REFERENCES, queries);
    print_timing(t, (double)queries * REFERENCES, "a query and a reference");
    kcl_scope_destroy(&scope);

    const size_t differences = count_differences(query, queries, references, nearest);
    int status = differences > 0;
    if (differences) {
        printf("check       %zu of %zu indices differ from those of a loop in whole numbers: WRONG\n", differences,
               queries);
    } else {
        const int wrong = print_accuracy(&d, nearest);
        printf("check       all %zu indices are those of a loop in whole numbers, ties to the first: ok\n", queries);
        if (picture)
            status = !draw(picture, &d, nearest, wrong);
    }
    free(nearest);
    free(d.label);
    free(d.grey);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 3 || (argc > 1 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: digits [DIGITS.txt [PICTURE]]\n");
        return 2;
    }
    kcl_context *context = create_context();
    int status = classify(context, argc > 1 ? argv[1] : "examples/data/digits.txt", argc > 2 ? argv[2] : NULL);
    kcl_context_destroy(&context);
    return status;
}
