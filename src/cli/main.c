/* SPDX-License-Identifier: MIT */
/* cli/main.c: finds the command, runs it, and tells how it ended. */
#define _XOPEN_SOURCE 700 /* SIGPIPE, SIGXFSZ */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const command *const commands[] = {
    &run_command,   &solve_command,   &grad_command,   &emit_command,  &check_command,
    &bench_command, &devices_command, &doctor_command, &cache_command,
};

static const char help[] = "keopscl: reductions of matrices K_ij = F(x_i,y_j,p) that are too large to store\n"
                           "\n"
                           "  keopscl run FORMULA --arg ...        compute, from files to files\n"
                           "  keopscl solve FORMULA VAR --arg ...  linear systems with such a matrix\n"
                           "  keopscl grad FORMULA VAR --arg ...   the derivative as a formula\n"
                           "  keopscl emit FORMULA --arg ...       the OpenCL kernel that a formula becomes\n"
                           "  keopscl check FORMULA --arg ...      a device against the interpreter\n"
                           "  keopscl bench                        how fast a device is, as JSON\n"
                           "  keopscl devices                      the devices there are\n"
                           "  keopscl doctor                       what was looked for, and what was found\n"
                           "  keopscl cache stats|clear            the compiled kernels kept on disk\n"
                           "\n"
                           "keopscl COMMAND --help tells more; keopscl --version tells the version.\n"
                           "The device is --device or the environment variable KEOPSCL_DEVICE: gpu, cpu,\n"
                           "host (the interpreter), PLATFORM:DEVICE, cuda:N, or part of a name, of which\n"
                           "the best device takes it.\n"
                           "Exit codes: 0 done, 1 the computation failed, 2 wrong usage, 130 interrupted.\n"
                           "\n"
                           "Example:\n"
                           "  printf '0 0\\n1 0\\n0 2\\n' > points.txt\n"
                           "  keopscl run 'Sum_Reduction(Exp(-g*SqDist(x,y)),0)' \\\n"
                           "      --arg x=Vi:points.txt --arg y=Vj:points.txt --arg g=Pm:0.5\n";

static int fail_listing(fault *f, const char *problem)
{
    char names[128] = "";
    for (size_t k = 0; k < COUNT(commands); k++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", k ? ", " : "", commands[k]->name);
    return fail(f, EXIT_USAGE, "%s; there are %s", problem, names);
}

/* Sets *name to the command's name once the command is known. */
static int dispatch(int argc, char **argv, const char **name, fault *f)
{
    char problem[128];
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word)
        return fail_listing(f, "a command is missing");
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        fputs(help, stdout);
        return EXIT_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        printf("keopscl %s\n", kcl_version());
        return EXIT_DONE;
    }
    for (size_t k = 0; k < COUNT(commands); k++)
        if (strcmp(word, commands[k]->name) == 0) {
            options o;
            *name = word;
            int code = options_read(&o, commands[k], argc - 2, argv + 2, f);
            if (code == EXIT_DONE && o.help)
                fputs(commands[k]->help, stdout);
            else if (code == EXIT_DONE)
                code = commands[k]->run(&o, f);
            options_free(&o);
            return code;
        }
    snprintf(problem, sizeof problem, "there is no command '%.60s'", word);
    return fail_listing(f, problem);
}

int main(int argc, char **argv)
{
    const char *name = NULL;
    fault f = {{0}};
#ifdef SIGPIPE
    signal(SIGPIPE, SIG_IGN); /* so that writing to a closed pipe is an error like others */
#endif
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* a file that grows beyond the limit on files is an error too */
#endif
    /*
     * PoCL compiles a kernel for the sizes of its first launch, again for larger ones, and again for any sizes when the
     * kernel is saved. With this setting one compilation does for all, and kernels run no slower. The user's own setting
     * stays.
     */
    setenv("POCL_WORK_GROUP_SPECIALIZATION", "0", 0);
    take_interrupts();
    int code = dispatch(argc, argv, &name, &f);
    /* Output is lost when the disk is full or the reader has gone. The loss is reported as a failure. */
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_DONE)
        code = fail_output(&f);
    if (code != EXIT_DONE)
        fprintf(stderr, "keopscl%s%s: %s\n", name ? " " : "", name ? name : "", f.text);
    return code;
}
