/* SPDX-License-Identifier: MIT */
/* cli/formula.c: keopscl emit and keopscl grad, which show what becomes of a formula. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* ---- emit -------------------------------------------------------------------------------------------------------- */

static const char emit_help[] = "keopscl emit FORMULA --arg NAME=ROLE(DIM) ... [options]\n"
                                "\n"
                                "Prints the OpenCL program that a formula becomes, the generated body first.\n"
                                "\n"
                                "  --arg x=Vi(3)     rows of 3 numbers, one per i; y=Vj(3) one per j; g=Pm(1)\n"
                                "  --device cpu|gpu  built-in profiles, which need no device; default: cpu\n"
                                "  --device D        a device of this machine: see keopscl devices\n"
                                "  --dtype f32|f64   default: f32\n"
                                "  --m M, --n N      numbers of rows, on which the schedule depends; default:\n"
                                "                    1000000 each\n"
                                "  --schedule NAME   lanes, rows, contraction, split or columns; default: by rule\n"
                                "  --math NAME       precise or fast elementary functions; default: precise\n"
                                "\n"
                                "Example:\n"
                                "  keopscl emit 'Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)' \\\n"
                                "      --arg x='Vi(3)' --arg y='Vj(3)' --arg b='Vj(1)' --arg g='Pm(1)'\n";

static int emit(const options *o, fault *f)
{
    const int64_t usual = 1000000;
    const char *device = o->device && *o->device ? o->device : "cpu";
    bool profile = strcmp(device, "cpu") == 0 || strcmp(device, "gpu") == 0;
    kcl_operator *op = NULL;
    kcl_context *context = NULL;
    buffer text = {0};
    int code = make_operator(&op, o, NULL, f);
    if (!code && !profile)
        code = open_context(&context, device, f);
    if (!code) {
        kcl_status status = kcl_operator_emit(op, context, profile ? device : NULL, o->dtype ? o->dtype : KCL_F32,
                                              o->m >= 0 ? o->m : usual, o->n >= 0 ? o->n : usual, buffer_write, &text);
        code = status < 0 ? fail_context(context, status, f) : buffer_show(&text, f);
    }
    buffer_free(&text);
    kcl_operator_destroy(&op);
    kcl_context_destroy(&context);
    return code;
}

const command emit_command = {
    "emit",
    {"FORMULA"},
    OPTION_ARG_SHAPES | OPTION_DTYPE | OPTION_DEVICE | OPTION_SIZES | OPTION_SCHEDULE | OPTION_MATH,
    emit,
    emit_help,
};

/* ---- grad -------------------------------------------------------------------------------------------------------- */

static const char grad_help[] = "keopscl grad FORMULA VAR --arg NAME=ROLE(DIM) ...\n"
                                "\n"
                                "Prints the derivative in argument VAR as a formula, on one line. It is the\n"
                                "vector-Jacobian product: the gradient of the sum of results times cotangents.\n"
                                "The cotangents are further arguments, behind those of FORMULA; the second line,\n"
                                "which starts with '# ', tells their names, roles and dimensions.\n"
                                "\n"
                                "  --arg x=Vi(3)     rows of 3 numbers, one per i; y=Vj(3) one per j; g=Pm(1)\n"
                                "\n"
                                "Example:\n"
                                "  keopscl grad 'Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)' x \\\n"
                                "      --arg x='Vi(3)' --arg y='Vj(3)' --arg b='Vj(1)' --arg g='Pm(1)'\n";

static int grad(const options *o, fault *f)
{
    kcl_operator *op = NULL, *derivative = NULL;
    buffer text = {0};
    int code = make_operator(&op, o, NULL, f);
    if (code)
        goto done;
    kcl_status status = kcl_operator_grad(&derivative, op, o->positional[1]);
    if (status >= 0) {
        status = kcl_operator_print(derivative, buffer_write, &text);
        if (status == KCL_ERROR_UNSUPPORTED) {
            code =
                fail(f, EXIT_USAGE,
                     "the derivative is too long as a text, in which shared parts are written out wherever they stand");
            goto done;
        }
    }
    if (status < 0) {
        const char *reason = derivative ? kcl_operator_error(derivative) : "";
        code = fail(f, status == KCL_ERROR_NO_MEMORY || status == KCL_ERROR_INTERNAL ? EXIT_COMPUTATION : EXIT_USAGE,
                    "%s", *reason ? reason : kcl_status_text(status));
        goto done;
    }
    int own = kcl_operator_input_count(op), all = kcl_operator_input_count(derivative);
    code = buffer_show(&text, f);
    if (code)
        goto done;
    printf("# cotangent%s:", all - own == 1 ? "" : "s");
    for (int k = own; k < all; k++) {
        kcl_slot_info slot;
        kcl_operator_input(derivative, k, &slot);
        printf("%s ", k > own ? "," : "");
        if (*slot.name)
            printf("%s = %s(%d)", slot.name, role_name(slot.role), slot.dim);
        else
            printf("Var(%d,%d,%d)", k, slot.dim, (int)slot.role);
    }
    putchar('\n');
done:
    buffer_free(&text);
    kcl_operator_destroy(&derivative);
    kcl_operator_destroy(&op);
    return code;
}

const command grad_command = {"grad", {"FORMULA", "VAR"}, OPTION_ARG_SHAPES, grad, grad_help};
