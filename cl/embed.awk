# SPDX-License-Identifier: MIT
# Writes the .cl files as C arrays, divided into pieces, for src/render/library.c: awk -f embed.awk FILE...
#
# A piece is what stands outermost in a file: a macro, a type, a function, a call of a macro that makes a function (of which
# the first argument is the name), or a line of an #if. Comments are left out; a line #include "x" is replaced by file x of
# the same folder. src/render/library.h tells what the tables mean.

function fail(what) {
    print file ": " what > "/dev/stderr"
    failed = 1
    exit 1
}

# The line without comments; `comment` tells whether the next one begins inside of one.
function code_of(line,    out, at) {
    out = ""
    for (;;) {
        if (comment) {
            at = index(line, "*/")
            if (!at)
                return out
            line = substr(line, at + 2)
            comment = 0
        }
        at = index(line, "/*")
        if (!at)
            return out line
        out = out substr(line, 1, at - 1)
        line = substr(line, at + 2)
        comment = 1
    }
}

function number_of(name) {
    if (!(name in id)) {
        id[name] = name_count
        name_of[name_count++] = name
    }
    return id[name]
}

# Identifiers of a text, in order, to word[1..]; what R##_STEP pastes is the word "##_STEP".
function words_of(text,    n, token) {
    n = 0
    while (match(text, /(##)?[A-Za-z0-9_.]+/)) {
        token = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        if (token ~ /^(##)?[0-9.]/)
            continue
        sub(/\..*/, "", token)
        if (token !~ /^##/ || token ~ /^##_/)
            word[++n] = token
    }
    return n
}

function define(name) {
    definition[definitions] = piece_count
    defined_name[definitions++] = name
}

# The first word before a bracket that is none of an attribute. KCL_NAME(x) is x.
function name_before_bracket(text,    token) {
    while (match(text, /[A-Za-z_][A-Za-z0-9_]*\(/)) {
        token = substr(text, RSTART, RLENGTH - 1)
        text = substr(text, RSTART + RLENGTH)
        if (token == "KCL_NAME")
            return substr(text, 1, index(text, ")") - 1)
        if (token !~ /^(__attribute__|overloadable|reqd_work_group_size)$/)
            return token
    }
    fail("no name in: " text)
}

function add_piece(text, type,    n, k) {
    start[piece_count] = length_of_all
    chunk[piece_count] = text
    length_of_all += length(text)
    kind[piece_count] = type
    inside[piece_count] = branch
    first_branch[piece_count] = next_branch[piece_count] = -1
    n = words_of(text)
    for (k = 1; k <= n; k++)
        if (word[k] ~ /^##/ && !(word[k] in is_suffix)) {
            is_suffix[word[k]] = 1
            suffix[suffix_count++] = word[k]
        }
    piece_count++
}

# A line of an #if at the outermost level. `branch` is the piece of the innermost branch that is open.
function add_branch(text,    before) {
    before = branch
    if (text ~ /^#if/) {
        add_piece(text, BRANCH)
        branch = first_branch[piece_count - 1] = piece_count - 1
        return
    }
    if (before < 0)
        fail("no #if before " text)
    branch = inside[before]
    add_piece(text, text ~ /^#endif/ ? END_OF_BRANCHES : BRANCH)
    next_branch[before] = piece_count - 1
    first_branch[piece_count - 1] = first_branch[before]
    if (text !~ /^#endif/)
        branch = piece_count - 1
}

function finish_piece(    name, n, k, text) {
    text = pending
    pending = ""
    if (text ~ /^#(if|el|endif)/) {
        add_branch(text)
        return
    }
    if (text ~ /^#(pragma|undef)/) {
        add_piece(text, ALWAYS)
        return
    }
    if (text ~ /^#/) {
        n = words_of(text)
        define(word[2])
        add_piece(text, MACRO)
        return
    }
    if (text ~ /^typedef/) {
        n = words_of(text)
        define(word[n])
    } else if (text ~ /^enum/) {
        name = text
        gsub(/=[^,}]*/, "", name)
        n = words_of(name)
        for (k = 2; k <= n; k++)
            define(word[k])
    } else if (text ~ /^[A-Z][A-Z0-9_]*\([^{]*\)\n$/) {
        words_of(text)
        define(word[2])
    } else {
        define(name_before_bracket(text))
    }
    add_piece(text, CODE)
}

function add_line(line,    count) {
    line = code_of(line)
    sub(/[ \t]+$/, "", line)
    sub(/[ \t]+\\$/, " \\", line)
    if (line == "" && pending !~ /\\\n$/)
        return
    if (pending == "")
        depth = 0
    pending = pending line "\n"
    if (pending ~ /^#/) {
        if (line !~ /\\$/)
            finish_piece()
        return
    }
    if (line ~ /^#/)
        return
    count = line
    depth += gsub(/[{(]/, "", count)
    depth -= gsub(/[})]/, "", count)
    if (depth == 0 && (line ~ /[};]$/ || pending ~ /^[A-Z][A-Z0-9_]*\([^{\n]*\)\n$/))
        finish_piece()
}

function read_file(path, folder,    line, part, status) {
    while ((status = (getline line < path)) > 0) {
        if (line ~ /^#include "/) {
            split(line, part, "\"")
            read_file(folder "/" part[2], folder)
        } else {
            add_line(line)
        }
    }
    if (status < 0)
        fail(path " cannot be read")
    close(path)
}

function print_list(type, name, count, values,    k, line) {
    print "const " type " " name "[] = {"
    line = ""
    for (k = 0; k < count; k++) {
        line = line values[k] ","
        if (length(line) > 100) {
            print line
            line = ""
        }
    }
    print line "0};"
}

function print_bytes(name, count, texts,    k, c, n, line) {
    print "const unsigned char " name "[] = {"
    for (k = 0; k < count; k++) {
        n = length(texts[k])
        line = ""
        for (c = 1; c <= n; c++) {
            if (!(substr(texts[k], c, 1) in byte))
                fail("a character that is not ASCII in " texts[k])
            line = line byte[substr(texts[k], c, 1)] ","
            if (length(line) > 100) {
                print line
                line = ""
            }
        }
        if (line != "")
            print line
    }
    print "0};"
}

BEGIN {
    # kt_piece_kind of library.h
    CODE = 0; MACRO = 1; BRANCH = 2; END_OF_BRANCHES = 3; ALWAYS = 4
    for (k = 1; k < 128; k++)
        byte[sprintf("%c", k)] = k
    piece_count = suffix_count = definitions = length_of_all = name_count = name_bytes = files = 0
    for (a = 1; a < ARGC; a++) {
        file = ARGV[a]
        folder = file
        sub(/\/[^\/]*$/, "", folder)
        if (folder == file)
            folder = "."
        name = file
        sub(/^.*cl\//, "", name)
        sub(/\.cl$/, "", name)
        file_name[files] = name
        first_piece[files++] = piece_count
        comment = 0
        pending = ""
        branch = -1
        read_file(file, folder)
        if (pending != "" || branch >= 0 || comment)
            fail("does not end")
    }
    first_piece[files] = piece_count

    # Names with a number: those that are defined, what is pasted behind a name, and what that is pasted behind.
    for (k = 0; k < definitions; k++)
        number_of(defined_name[k])
    plain = name_count
    pasted = 0
    for (k = 0; k < suffix_count; k++) {
        number_of(suffix[k])
        end = substr(suffix[k], 3)
        for (n = 0; n < plain; n++) {
            stem = substr(name_of[n], 1, length(name_of[n]) - length(end))
            if (stem == "" || stem end != name_of[n])
                continue
            paste_stem[pasted] = number_of(stem)
            paste_suffix[pasted] = id[suffix[k]]
            paste_result[pasted++] = n
        }
    }

    # Definitions by name, in order.
    for (k = 0; k < definitions; k++)
        of_name[id[defined_name[k]]] = of_name[id[defined_name[k]]] " " definition[k]
    count = 0
    for (n = 0; n < name_count; n++) {
        first_definition[n] = count
        parts = split(of_name[n], list, " ")
        for (k = 1; k <= parts; k++)
            definition_of[count++] = list[k]
    }
    first_definition[name_count] = count

    # Names by hash.
    buckets = 1024
    for (n = 0; n < name_count; n++) {
        h = 0
        for (c = 1; c <= length(name_of[n]); c++)
            h = (h * 31 + byte[substr(name_of[n], c, 1)]) % buckets
        next_name[n] = (h in bucket) ? bucket[h] : -1
        bucket[h] = n
        name_start[n] = name_bytes
        name_bytes += length(name_of[n]) + 1
        name_text[n] = name_of[n] "\001"
    }
    for (h = 0; h < buckets; h++)
        bucket_list[h] = (h in bucket) ? bucket[h] : -1
    start[piece_count] = length_of_all
    byte["\001"] = 0
    if (piece_count > 2048 || name_count > 2048 || name_bytes > 65535)
        fail("more than library.h has room for")

    print "/* Generated from the files in cl/ by cl/embed.awk. */"
    print "#include \"library.h\"\n"
    print_bytes("kt_cl_text", piece_count, chunk)
    print_list("uint32_t", "kt_cl_start", piece_count + 1, start)
    print_list("unsigned char", "kt_cl_kind", piece_count, kind)
    print_list("int16_t", "kt_cl_inside", piece_count, inside)
    print_list("int16_t", "kt_cl_first_branch", piece_count, first_branch)
    print_list("int16_t", "kt_cl_next_branch", piece_count, next_branch)
    print_bytes("kt_cl_names", name_count, name_text)
    print_list("uint16_t", "kt_cl_name_start", name_count, name_start)
    print_list("int16_t", "kt_cl_next_name", name_count, next_name)
    print_list("int16_t", "kt_cl_bucket", buckets, bucket_list)
    print_list("uint16_t", "kt_cl_first_definition", name_count + 1, first_definition)
    print_list("uint16_t", "kt_cl_definition", count, definition_of)
    print_list("uint16_t", "kt_cl_paste_stem", pasted, paste_stem)
    print_list("uint16_t", "kt_cl_paste_suffix", pasted, paste_suffix)
    print_list("uint16_t", "kt_cl_paste_result", pasted, paste_result)
    print_list("uint16_t", "kt_cl_first_piece", files + 1, first_piece)
    print "const char *const kt_cl_file_name[] = {"
    for (k = 0; k < files; k++)
        print "    \"" file_name[k] "\","
    print "    0};"
    printf "const kt_cl_counts kt_cl = {%d, %d, %d, %d, %d};\n", files, piece_count, name_count, pasted, buckets
    exit 0
}
