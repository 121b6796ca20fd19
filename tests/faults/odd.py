"""Values and texts that often break readers of text files."""

NAN, INFINITY = float("nan"), float("inf")

# replacements for a value in YAML or JSON
NUMBERS = (
    *(0, 1, -1, 2, 3.5, -0.0, 1e308, 2**15, 2**31, 2**32 - 1, 2**63, 2**64, 10**30),
    *(NAN, INFINITY, -INFINITY),
)
WORDS = ("", "x", "0", "a\nb", "\0", "\x1b[31m", "ü" * 300, "x" * 5000, "../..", "/", "nan", "%s", "{0}")
VALUES = (
    *NUMBERS,
    *WORDS,
    *(None, True, False, [], {}, [[]], [None], [0], [1, "x"], {"a": 1}, {"": ""}, {0: 1}, list(range(300))),
)


# texts that no serialiser writes: YAML
BOMB = "".join(
    ["[&a0 [x,x,x,x,x,x,x,x,x,x]", *(f",&a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)), "]"]
)
MAPS = "{{k0: &k0 {{x: 1}}, {}}}"
TREE_OF_MAPS = MAPS.format(", ".join(f"k{n}: &k{n} {{a: *k{n - 1}, b: *k{n - 1}}}" for n in range(1, 40)))
MERGED_MAPS = MAPS.format(", ".join(f"k{n}: &k{n} {{<<: [*k{n - 1}, *k{n - 1}]}}" for n in range(1, 40)))
YAML = (
    *(BOMB, TREE_OF_MAPS, MERGED_MAPS),
    # deep or circular
    *("[" * 40 + "]" * 40, "[" * 3000 + "]" * 3000, "{a: " * 3000 + "}" * 3000, "[" * 100_000),
    *("- " * 2000 + "x", "&r [*r]", "&r {a: *r}"),
    # merges
    *("{<<: {a: 1}, b: 2}", "{<<: [1]}", "{<<: x}"),
    # signs
    *("*unknown", "[", "{", '"', "'", "}", "\t", "@", "`", "%", "!", "|", ">"),
    *("? [a]", "{[a]: b}", "{{a: 1}: b}", "a: b: c", "x\n  y"),
    # tags
    *("!!python/object/apply:os.getcwd []", "!!python/name:os.system", "!unknown x"),
    *("!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]"),
    *("!!binary abc", "!!int x", "!!float x", "!!bool x", "!!timestamp x", "!!null x"),
    *("!!str [a]", "!!map [a]", "!!seq {a: 1}"),
    # dates and numbers
    *("2001-01-01", "2001-99-99", "2001-01-01 99:99:99"),
    *("0x", "0b", "0x1_", "1_000", "0o7", "08", "1:60", "1e5", "1e999"),
    *("9" * 5000, "0x" + "f" * 5000, ".nan", "-.inf"),
    # escapes and documents
    *(r'"\ud800"', r'"\x"', r'"\U7fffffff"', "'\x07'", "\x00", "\x85", "\u2028", "\ufeff"),
    *("---\na: 1", "...", "# comment"),
)
JSON = (
    *("[" * 500 + "]" * 500, "[" * 100_000, "{}", "1e999", "NaN", "9" * 5000, "-1"),
    *(str(2**64 - 1), str(2**64), '"\\ud800"', "tru"),
)
SAFETENSORS = (  # of headers: kinds of numbers, architectures and widths, shapes
    *(*NUMBERS, *WORDS),
    *("F32", "F64", "F16", "BF16", "I64", "I32", "U8", "U16", "U64", "BOOL"),
    *("F8_E4M3", "F8_E5M2", "C64", "F4"),
    *("unet", "nafnet", "demosaic", "4,6", "99999", "99998", "99999,99999"),
    *("1," * 3000 + "1", "4,6," * 6 + "4"),
    *([4, 4, 3, 3], [0, 0], [2**62, 0], [0, 2**40], [1] * 40),
)
NPY = (  # of headers: types, descriptions, shapes, sizes, Python
    *("<u2", ">u2", "=u2", "|u1", "<u8", "<f4", "|O", "|V8", "<U9", "|S0", "<M8[ns]", "<c8", "|b1"),
    *("u2,u2", "<u9", "x", ",".join(["<u2"] * 99)),
    *("[('a', '<u2')]", "[('a', '<u2', (2, 2))]", "['<u2']", "{}", "None", "True", "'<u2'"),
    *("(4,)", "()", "(0, 0, 4)", "(-1, 4, 4)", "(3, 4, 4, 1)", "(2**40, 2, 4)", "(1099511627776, 2, 4)"),
    *("(4294967296, 4294967296, 4)", "(20000, 20000, 4)", "(9223372036854775807, 2, 4)"),
    *("(3L, 4L, 4L)", "(1.5, 4, 4)", "('a',)"),
    *("9" * 4400, "0", "-1", "0xffff", "1e9"),
    *("(" * 90 + ")" * 90, "(" * 5000, "1 if 1 else 2", "__import__('os')", "\0", "é", "\n", "#", "'", '"'),
    *("\\", "{" * 300, "]", "}", ":", "'descr'", "'shape'", "'fortran_order'", "'other'"),
)
