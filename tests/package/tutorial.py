#!/usr/bin/env python3
"""docs/tutorial.md as a program.

tutorial.py code PAGE.md OUT.c [NAME]      writes the C blocks of the page, one after another
tutorial.py check PAGE.md PROGRAM [NAME]   runs the program; it must print the text blocks that follow C blocks
tutorial.py shell PAGE.md KEOPSCL       runs the console blocks: lines "$ keopscl ..." must print the lines below them,
                                        numbers to 4 digits

The page's C blocks are one program, in the order of the page. A text block is what the C block above it prints. Blocks
whose language is followed by a name ("c opencl", "text opencl") are a program of their own; it exits with 77 where what
it needs is not there.
"""
import os
import re
import subprocess
import sys
import tempfile


def blocks(page):
    """The fenced blocks of a page: (language, number of the first line, text)."""
    found, language = [], None
    for number, line in enumerate(open(page, encoding="utf-8"), 1):
        if line.startswith("```"):
            if language is None:
                language, start, text = line[3:].strip(), number + 1, []
            else:
                found.append((language, start, "".join(text)))
                language = None
        elif language is not None:
            text.append(line)
    return found


def fence(language, name):
    return language + " " + name if name else language


def code(page, out, name=""):
    with open(out, "w", encoding="utf-8") as file:
        for language, number, text in blocks(page):
            if language == fence("c", name):
                file.write('#line %d "%s"\n%s' % (number, os.path.basename(page), text))


def report(results):
    for count, (name, problem) in enumerate(results, 1):
        print("%s %d %s" % ("not ok" if problem else "ok", count, name))
        for line in problem.splitlines():
            print("# " + line)
    print("1..%d" % len(results))


def check(page, program, name=""):
    run = subprocess.run([program], capture_output=True, text=True)
    if name and run.returncode == 77:
        print("1..0 # SKIP " + " ".join(run.stderr.split()))
        return
    output, position, results = run.stdout, 0, []
    for language, number, text in blocks(page):
        if language == fence("text", name):
            got = output[position:position + len(text)]
            results.append(("output at line %d" % number, "" if got == text else
                            "expected:\n%sprinted:\n%s" % (text, output[position:])))
            position += len(text)
    rest = output[position:]
    results.append(("nothing else is printed, exit status 0", "" if rest == "" and run.returncode == 0 else
                    "exit status %d\n%s%s" % (run.returncode, rest, run.stderr)))
    report(results)


def same(expected, got):
    """Equal words, numbers to 4 digits."""
    expected, got = expected.split(), got.split()
    if len(expected) != len(got):
        return False
    for a, b in zip(expected, got):
        try:
            if abs(float(a) - float(b)) > 1e-4 * max(1, abs(float(a))):
                return False
        except ValueError:
            if a != b:
                return False
    return True


def shell(page, keopscl):
    results = []
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(keopscl)) + ":" + os.environ["PATH"])
        for language, number, text in blocks(page):
            if language != "console":
                continue
            for command, expected in re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", text, re.M):
                run = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
                ok = run.returncode == 0 and same(expected, run.stdout)
                results.append(("%s (line %d)" % (command.split("\n")[0], number), "" if ok else
                                "exit status %d\nexpected:\n%sprinted:\n%s%s" % (run.returncode, expected, run.stdout,
                                                                                run.stderr)))
    report(results)


{"code": code, "check": check, "shell": shell}[sys.argv[1]](*sys.argv[2:])
