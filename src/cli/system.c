/* SPDX-License-Identifier: MIT */
/* cli/system.c: keopscl devices, doctor and cache, which look at the machine. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static const char devices_help[] = "keopscl devices [--json]\n"
                                   "\n"
                                   "Lists the devices, the interpreter last. '*' marks the one that is used when\n"
                                   "neither --device nor KEOPSCL_DEVICE names another; the first column is what both\n"
                                   "take, next to gpu, cpu and parts of names.\n"
                                   "\n"
                                   "  --json   a JSON array, with sizes in bytes\n"
                                   "\n"
                                   "Example:\n"
                                   "  keopscl devices\n";

static int read_devices(kcl_device_info **infos, int *count, fault *f)
{
    *infos = NULL;
    for (int capacity = 16;; capacity = *count) {
        free(*infos);
        *infos = calloc((size_t)capacity, sizeof **infos);
        if (!*infos)
            return fail_memory(f);
        *count = kcl_device_list(*infos, capacity);
        if (*count < 0)
            return fail(f, EXIT_COMPUTATION, "the devices cannot be listed: %s", kcl_status_text((kcl_status)*count));
        if (*count <= capacity)
            return EXIT_DONE;
    }
}

static void print_devices(const kcl_device_info *infos, int count, int best)
{
    int width = 4;
    for (int k = 0; k < count; k++)
        if ((int)strlen(infos[k].name) > width)
            width = (int)strlen(infos[k].name);
    printf("  %-6s %-5s %-*s %6s %10s  %s\n", "id", "type", width, "name", "units", "memory", "double");
    for (int k = 0; k < count; k++)
        printf("%c %-6s %-5s %-*s %6d %6.1f GiB  %s\n", k == best ? '*' : ' ', infos[k].id, infos[k].type, width,
               infos[k].name, infos[k].compute_units, (double)infos[k].memory / (1 << 30),
               infos[k].has_f64 ? "yes" : "no");
}

static void print_devices_json(const kcl_device_info *infos, int count, int best)
{
    putchar('[');
    for (int k = 0; k < count; k++) {
        const kcl_device_info *d = &infos[k];
        const struct {
            const char *key, *text;
        } texts[] = {
            {"id", d->id}, {"name", d->name}, {"platform", d->platform}, {"version", d->version}, {"type", d->type}};
        printf("%s{", k ? ",\n " : "");
        for (size_t t = 0; t < COUNT(texts); t++) {
            printf("\"%s\":", texts[t].key);
            print_json_string(texts[t].text);
            putchar(',');
        }
        printf("\"compute_units\":%d,\"clock_mhz\":%d,\"memory\":%llu,\"max_buffer\":%llu,\"has_f64\":%s,"
               "\"default\":%s}",
               d->compute_units, d->clock_mhz, (unsigned long long)d->memory, (unsigned long long)d->max_buffer,
               d->has_f64 ? "true" : "false", k == best ? "true" : "false");
    }
    puts("]");
}

static int devices(const options *o, fault *f)
{
    kcl_device_info *infos = NULL;
    int count = 0, best = 0, code = read_devices(&infos, &count, f);
    for (int k = 1; !code && k < count; k++)
        if (infos[k].score > infos[best].score)
            best = k;
    if (!code)
        (o->json ? print_devices_json : print_devices)(infos, count, best);
    free(infos);
    return code;
}

const command devices_command = {"devices", {NULL}, OPTION_JSON, devices, devices_help};

/* ---- doctor ------------------------------------------------------------------------------------------------------ */

static const char doctor_help[] = "keopscl doctor\n"
                                  "\n"
                                  "Tells what was looked for on this machine, where, what each search found, and\n"
                                  "what is lost without it. Put its output into a question about a problem.\n"
                                  "\n"
                                  "Example:\n"
                                  "  keopscl doctor\n";

static int doctor(const options *o, fault *f)
{
    (void)o;
    kcl_status status = kcl_doctor(write_stdout, NULL);
    return status < 0 ? fail(f, EXIT_COMPUTATION, "%s", kcl_status_text(status)) : EXIT_DONE;
}

const command doctor_command = {"doctor", {NULL}, 0, doctor, doctor_help};

/* ---- cache ------------------------------------------------------------------------------------------------------- */

static const char cache_help[] = "keopscl cache stats|clear\n"
                                 "\n"
                                 "Compiled kernels are kept on disk, so that the next process starts at once.\n"
                                 "\n"
                                 "  stats   the folder, the number of kernels in it, and their size\n"
                                 "  clear   removes all of them, and nothing else\n"
                                 "\n"
                                 "KEOPSCL_CACHE_DIR names another folder, by an absolute path; KEOPSCL_CACHE=off\n"
                                 "keeps no kernels. PoCL keeps kernels itself: the default folder holds none of\n"
                                 "them, a folder that is named holds them as well.\n"
                                 "\n"
                                 "Example:\n"
                                 "  keopscl cache stats\n";

static int cache(const options *o, fault *f)
{
    kcl_cache_info info = {{0}, 0, 0};
    uint64_t removed = 0;
    bool stats = strcmp(o->positional[0], "stats") == 0;
    if (!stats && strcmp(o->positional[0], "clear") != 0)
        return fail(f, EXIT_USAGE, "'%s' is neither stats nor clear", o->positional[0]);
    kcl_status status = kcl_cache_stats(&info);
    if (status >= 0 && !stats && *info.dir)
        status = kcl_cache_clear(&removed);
    if (status == KCL_ERROR_ARGUMENT)
        return fail(f, EXIT_USAGE, "KEOPSCL_CACHE or KEOPSCL_CACHE_DIR is not valid: keopscl doctor tells why");
    if (status < 0)
        return fail(f, EXIT_COMPUTATION, "the folder %s: %s", info.dir, kcl_status_text(status));
    if (!*info.dir)
        puts("the cache is off");
    else if (stats)
        printf("folder %s\nkernels %llu\nbytes %llu\n", info.dir, (unsigned long long)info.entries,
               (unsigned long long)info.bytes);
    else
        printf("removed %llu kernels from %s\n", (unsigned long long)removed, info.dir);
    return EXIT_DONE;
}

const command cache_command = {"cache", {"stats|clear"}, 0, cache, cache_help};
