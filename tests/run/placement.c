/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "placement.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

kcl_context *contexts[3], *c;
char last_line[512];

bool copies(void)
{
    return c->device->sharing == KD_COPIED && c != contexts[HOST];
}

/* ---- An operator, by plain loops --------------------------------------------------------------------------------- */

static const char *const aliases[4] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "g=Pm(1)"};

const char formula[] = "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction(Exp(-g*SqDist(x,y)),1)";

kcl_operator *make_operator(const char *text)
{
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, text, 4, aliases, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    return op;
}

void problem_make(problem *p, kcl_dtype dtype, layout in, layout out)
{
    numbers_make(&p->x, dtype, M, D, in);
    numbers_make(&p->y, dtype, N, D, in);
    numbers_make(&p->b, dtype, N, 2, in);
    numbers_make(&p->g, dtype, 1, 1, DENSE);
    numbers_make(&p->sums, dtype, M, 2, out);
    numbers_make(&p->columns, dtype, N, 1, out);
    numbers_fill(&p->x, -1, 1);
    numbers_fill(&p->y, -1, 1);
    numbers_fill(&p->b, 0.5, 1); /* no cancellation: errors are relative */
    numbers_fill(&p->g, 0.3, 1);
}

void problem_free(problem *p)
{
    numbers *const all[] = {&p->x, &p->y, &p->b, &p->g, &p->sums, &p->columns};
    for (size_t k = 0; k < KB_COUNT(all); k++)
        numbers_free(all[k]);
}

void check_number(double got, double want, kcl_dtype dtype)
{
    ck_assert_msg(fabs(got - want) <= (dtype == KCL_F32 ? 1e-5 : 1e-12) * fabs(want), "%.17g, by plain loops %.17g",
                  got, want);
}

/* All bytes of an array's memory, gaps included, as an array of the device that begins `shift` bytes into its memory. */
static kcl_array all_bytes(const numbers *n, kcl_memory *memory, int64_t shift)
{
    return kcl_array_in(memory, shift, KCL_F32, 1, (int64_t[]){(int64_t)(n->bytes / sizeof(float))});
}

kcl_array to_device(const numbers *n, int64_t shift)
{
    kcl_array array = n->array, whole;
    OK(kcl_memory_create(c, n->bytes + (size_t)shift, &array.memory));
    whole = all_bytes(n, array.memory, shift);
    OK(kcl_array_update(c, kcl_f32(n->memory, (int64_t)(n->bytes / sizeof(float))), &whole));
    array.offset = shift + ((char *)array.data - (char *)n->memory);
    array.data = NULL;
    return array;
}

void from_device(numbers *n, const kcl_array *array)
{
    int64_t shift = array->offset - ((char *)n->array.data - (char *)n->memory);
    const kcl_array whole = all_bytes(n, array->memory, shift);
    OK(kcl_array_download(c, &whole, kcl_f32(n->memory, (int64_t)(n->bytes / sizeof(float)))));
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static failing blocks[3];

static void setup(void)
{
    seed_random(test_seed());
    last_line[0] = 0;
}

static void teardown(void)
{
}

static void keep_line(void *user, const char *line)
{
    (void)user;
    if (strstr(line, "evaluation of"))
        snprintf(last_line, sizeof last_line, "%s", line);
}

kcl_context *open_context(int device)
{
    const kcl_context_params params = {.device = device == HOST ? "host" : test_device(),
                                       .allocator = failing_allocator(&blocks[device]),
                                       .log = keep_line};
    kcl_context *context;
    if (kcl_context_create(&context, &params) < 0)
        kcl_context_destroy(&context);
    else if (device == COPIED)
        context->device->sharing = KD_COPIED;
    return context;
}

int begin_placement(const char *program)
{
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    int rounds = 0;
    for (; rounds < 3; rounds++)
        if (!(contexts[rounds] = open_context(rounds)))
            break;
    if (rounds < 3)
        printf("SKIPPED: no OpenCL CPU: the interpreter alone is tested\n");
    announce_seed(program);
    return rounds;
}

int run_placement(const char *name, const test_entry *tests, size_t count)
{
    int failed = run_entries(name, tests, count, setup, teardown);
    for (int k = 0; k < 3; k++) {
        kcl_context_destroy(&contexts[k]);
        if (blocks[k].blocks) {
            printf("%lld blocks of memory leak\n", (long long)blocks[k].blocks);
            failed = 1;
        }
    }
    return failed;
}
