#include "caltrop/text/jinja.h"

#include "caltrop/base/json.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

std::string rendered(const std::string& source, const Json& variables = Json::object()) {
  return JinjaTemplate(source, "test").render(variables).text;
}

// What jinja2 gives for a piece of each part of the language (tools/compare_templates.py --golden).
TEST(Jinja, GivesWhatJinja2Gives) {
  int texts = 0, failures = 0;
  read_json_lines(test::data_file("templates/golden.jsonl"), [&](const Json& row, int64_t) {
    if (!row.contains("snippet")) return;
    const auto source = row["snippet"].get<std::string>();
    const Json variables = {{"messages", Json::array()}, {"tools", nullptr}};
    if (row["expected"].is_null()) {
      EXPECT_THROW(rendered(source, variables), UserError) << source;
      ++failures;
    } else {
      EXPECT_EQ(rendered(source, variables), row["expected"].get<std::string>()) << source;
      ++texts;
    }
  });
  EXPECT_GT(texts, 45);
  EXPECT_GT(failures, 15);
}

TEST(Jinja, TagsTakeTheirLinesWithThem) {
  EXPECT_EQ(rendered("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc");
  EXPECT_EQ(rendered("a  {%- if true -%}  b  {%- endif %}  c"), "ab  c");
  EXPECT_EQ(rendered("a\n  {%+ if true +%}\nb{% endif %}"), "a\n  \nb");
  EXPECT_EQ(rendered("  {{ 1 }}\n  {# gone #}\nb\n\n"), "  1\nb\n");
}

TEST(Jinja, VariablesAreJson) {
  const Json variables = {{"m", {{"role", "user"}, {"n", 3}, {"x", nullptr}, {"l", {1, 2.5, true}}}}};
  EXPECT_EQ(rendered("{{ m.role }} {{ m['n'] + 1 }} {{ m.x }} {{ m.l }} {{ m|tojson }}", variables),
            R"(user 4 None [1, 2.5, True] {"role": "user", "n": 3, "x": null, "l": [1, 2.5, true]})");
}

TEST(Jinja, TheClockIsTheCallers) {
  const JinjaClock clock = [] {
    std::tm day{};
    day.tm_year = 124, day.tm_mon = 6, day.tm_mday = 26;
    return day;
  };
  EXPECT_EQ(JinjaTemplate("{{ strftime_now('%d %b %Y') }}", "test").render(Json::object(), clock).text,
            "26 Jul 2024");
}

TEST(Jinja, GenerationBlocksMarkBytes) {
  const JinjaTemplate jinja("é{% for x in 'ab' %}[{% generation %}{{ x }}ü{% endgeneration %}]{% endfor %}",
                            "test");
  EXPECT_TRUE(jinja.marks_generation());
  const JinjaOutput output = jinja.render(Json::object());
  EXPECT_EQ(output.text, "é[aü][bü]");
  EXPECT_THAT(output.generation, testing::ElementsAre(Span{3, 6}, Span{8, 11}));
  EXPECT_FALSE(JinjaTemplate("no generation", "test").marks_generation());
  EXPECT_USER_ERROR(
      rendered("{% set x %}{% generation %}a{% endgeneration %}{% endset %}"),
      "test: line 1: 'generation' within a macro, call, set or filter block has no place in the output");
}

TEST(Jinja, UnknownNamesListTheKnown) {
  EXPECT_USER_ERROR(
      rendered("a\n{% include 'x' %}"),
      "test: line 2: no statement 'include'; it has: break, call, continue, filter, for, generation, if, "
      "macro, set, with");
  EXPECT_USER_ERROR(rendered("{{ 1|colour }}"),
                    "test: line 1: no filter 'colour'; it has: abs, capitalize, count, d, default, dictsort, "
                    "e, escape, first, float, "
                    "indent, int, items, join, last, length, list, lower, map, max, min, reject, rejectattr, "
                    "replace, reverse, round, "
                    "safe, select, selectattr, sort, string, sum, title, tojson, trim, unique, upper");
  EXPECT_USER_ERROR(rendered("{{ 1 is red }}"),
                    "test: line 1: no test 'red'; it has: !=, <, <=, ==, >, >=, boolean, callable, defined, "
                    "divisibleby, eq, equalto, "
                    "even, false, filter, float, ge, greaterthan, gt, in, integer, iterable, le, lessthan, "
                    "lower, lt, mapping, ne, none, "
                    "number, odd, sameas, sequence, string, test, true, undefined, upper");
  EXPECT_USER_ERROR(
      rendered("\n\n{{ now() }}"),
      "test: line 3: no function 'now'; it has: dict, namespace, raise_exception, range, strftime_now");
  EXPECT_USER_ERROR(rendered("{{ {}.pop('a') }}"),
                    "test: line 1: a dict: no method 'pop'; it has: copy, get, items, keys, values");
  EXPECT_USER_ERROR(rendered("{{ 'a'|trim(char='x') }}"),
                    "test: line 1: filter 'trim': no argument 'char'; it has: chars");
}

TEST(Jinja, SyntaxErrorsSayWhatIsWanted) {
  EXPECT_USER_ERROR(rendered("a\n{{ 1 + }}"), "test: line 2: got '}}', want an expression");
  EXPECT_USER_ERROR(rendered("{{ 1 2 }}"), "test: line 1: got '2', want '}}'");
  EXPECT_USER_ERROR(rendered("\n{% if true %}\nx"),
                    "test: line 3: 'if' of line 2 is not closed; want 'endif'");
  EXPECT_USER_ERROR(rendered("{{ 'a }}"), "test: line 1: a string is not closed");
  EXPECT_USER_ERROR(rendered("{{ 1"), "test: line 1: a tag is not closed; '}}' is missing");
  EXPECT_USER_ERROR(rendered("{# a"), "test: line 1: a comment is not closed; '#}' is missing");
  EXPECT_USER_ERROR(rendered("{{ (1] }}"), "test: line 1: ']' closes nothing");
  EXPECT_USER_ERROR(rendered("{% break %}"), "test: line 1: 'break' and 'continue' want a loop around them");
  EXPECT_USER_ERROR(rendered("{{ 99999999999999999999 }}"),
                    "test: line 1: the integer 99999999999999999999 is too large");
  EXPECT_USER_ERROR(rendered("{{ f(*x) }}"),
                    "test: line 1: '*' before an argument is not supported; pass the arguments one by one");
}

TEST(Jinja, FailuresNameTheLine) {
  EXPECT_USER_ERROR(rendered("\n{{ raise_exception('Roles must alternate') }}"),
                    "test: line 2: the template refuses this conversation: Roles must alternate");
  EXPECT_USER_ERROR(rendered("{{ message.content }}"),
                    "test: line 1: cannot take 'content' of the undefined variable 'message'");
  EXPECT_USER_ERROR(rendered("{{ {'a': 1}.b.c }}"),
                    "test: line 1: cannot take 'c' of the missing 'b' of a dict");
  EXPECT_USER_ERROR(rendered("{{ 'a' + none }}"), "test: line 1: cannot compute a string + None");
  EXPECT_USER_ERROR(rendered("{{ 'a' < 1 }}"), "test: line 1: cannot compare a string with an integer");
  EXPECT_USER_ERROR(rendered("{{ 9223372036854775807 + 1 }}"),
                    "test: line 1: the result is too large for an integer of 64 bits");
  EXPECT_USER_ERROR(rendered("{% set a, b = [1] %}"), "test: line 1: got 1 values, want 2 to assign to");
}

// A template is a stranger's program: it may be wrong, but it may not hang us, fill the memory or end the process.
TEST(Jinja, HostileTemplatesComeToAnEnd) {
  const std::string endless = "test: line 1: the template does not come to an end (10000000 steps)";
  EXPECT_USER_ERROR(
      rendered("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"), endless);
  EXPECT_USER_ERROR(
      rendered("{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}"),
      "test: line 1: a text is longer than 16 MiB");
  EXPECT_USER_ERROR(rendered("{{ 'x' * 1000000000000 }}"), "test: line 1: a text is longer than 16 MiB");
  EXPECT_USER_ERROR(rendered("{{ ('a' * 9000000 ~ 'b') in 'a' * 16000000 }}"), endless);
  EXPECT_USER_ERROR(rendered("{{ ('x' * 4000000)|replace('', 'yyyyyyyyyy') }}"),
                    "test: line 1: a text is longer than 16 MiB");
  EXPECT_USER_ERROR(rendered("{{ range(1000000000)|list }}"),
                    "test: line 1: range: want at most 100000 numbers");
  EXPECT_USER_ERROR(
      rendered("{% set n = namespace(l=[]) %}{% for i in range(999) %}{% set n.l = [n.l] %}{% endfor %}"),
      "test: line 1: values are nested more than 100 deep");
  EXPECT_USER_ERROR(
      rendered(
          "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}"),
      "test: line 1: a list or dict holds more than 1000000 values");
  EXPECT_USER_ERROR(rendered("{% set n = namespace(g=[1]) %}{% for i in range(999) %}{% set n.g = "
                             "n.g|map('string') %}{% endfor %}"),
                    "test: line 1: values are nested more than 100 deep");
  EXPECT_USER_ERROR(rendered("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
                    "test: line 1: calls and expressions are nested more than 500 deep");
}

// What a function, a loop or a generator is bound to lies within it.
TEST(Jinja, HostileTemplatesDoNotNestThroughFunctions) {
  const std::string deep = "test: line 1: values are nested more than 100 deep";
  const auto repeated = [](const std::string& body) {
    return "{% set n = namespace(x=[]) %}{% for i in range(999) %}" + body + "{% endfor %}";
  };
  EXPECT_USER_ERROR(rendered(repeated("{% set n.x = [n.x.count] %}")), deep);
  EXPECT_USER_ERROR(rendered(repeated("{% for a in [n.x, 1] %}{% set n.x = loop %}{% endfor %}")), deep);
  EXPECT_USER_ERROR(rendered(repeated("{% set n.x = [1]|unique(n.x) %}")), deep);
  EXPECT_USER_ERROR(
      rendered(
          "{% set n = namespace() %}{% for a in [1] %}{% set n.f = loop.changed %}{% endfor %}{{ n.f(1) }}"),
      "test: line 1: loop.changed: its loop has ended");
  // Each macro holds the loop that it was defined in, and that the macro before: given back one by one.
  EXPECT_EQ(rendered("{% set n = namespace(m=1) %}{% for i in range(50000) %}{% for m in [n.m] %}"
                     "{% macro f() %}{% endmacro %}{% set n.m = f %}{% endfor %}{% endfor %}done"),
            "done");
}

TEST(Jinja, HostileTemplatesDoNotFillTheMemory) {
  const std::string long_text = "test: line 1: a text is longer than 16 MiB";
  EXPECT_USER_ERROR(rendered("{% set t = 'a' * 16000000 %}{{ [t] * 300000 }}"), long_text);
  EXPECT_USER_ERROR(rendered("{% set t = 'a' * 16000000 %}{{ ([t] * 300000)|tojson }}"), long_text);
  EXPECT_USER_ERROR(rendered("{% set t = 'a' * 16000000 %}{{ 'b' ~ [t] * 300000 }}"), long_text);
  EXPECT_USER_ERROR(rendered("{{ [[[[1] * 99999]]]|tojson(indent=100) }}"), long_text);
  EXPECT_USER_ERROR(rendered("{{ ('a' * 16000000)|list|length }}"),
                    "test: line 1: a text of more than 1000000 characters cannot be iterated over");
  EXPECT_USER_ERROR(rendered("{% for i in range(99) %}{% set many = [0] * 400000 %}{% endfor %}"),
                    "test: line 1: the template does not come to an end (10000000 steps)");
}

TEST(Jinja, HostileComparisonsComeToAnEnd) {
  const std::string endless = "test: line 1: the template does not come to an end (10000000 steps)";
  EXPECT_USER_ERROR(rendered("{% set t = 'x' * 1000000 %}{{ (t ~ 'a') in [t ~ 'b'] * 100000 }}"), endless);
  EXPECT_USER_ERROR(rendered("{% set t = 'x' * 1000000 %}{{ [t ~ 'a'] * 100000 == [t ~ 'a'] * 100000 }}"),
                    endless);
  const std::string pairs =
      "{% set n = namespace(l=[]) %}{% for i in range(3000) %}{% set n.l = n.l + [(i|string, i)] %}{% endfor "
      "%}";
  EXPECT_EQ(rendered(pairs + "{{ n.l|length }}"), "3000");
  EXPECT_USER_ERROR(rendered(pairs + "{{ dict(n.l) == dict(n.l) == dict(n.l) }}"), endless);
}

TEST(Jinja, HostileSourcesAreRefused) {
  const auto times = [](const std::string& text, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text;
    return all;
  };
  const std::string deep = "test: line 1: nested more than 100 deep";
  EXPECT_USER_ERROR(rendered("{{ " + times("(", 100000)),
                    "test: line 1: a tag is not closed; '}}' is missing");
  EXPECT_USER_ERROR(rendered("{{ " + times("(", 9999) + "1" + times(")", 9999) + " }}"), deep);
  EXPECT_USER_ERROR(rendered("{{ " + times("not ", 9999) + "1 }}"), deep);
  EXPECT_USER_ERROR(rendered("{{ " + times("- ", 9999) + "1 }}"), deep);
  EXPECT_USER_ERROR(rendered(times("{% if 1 %}", 9999)), deep);
  EXPECT_USER_ERROR(rendered("{{ 1" + times(" + 1", 99999) + " }}"),
                    "test: line 1: a tag has more than 2000 parts");
  EXPECT_USER_ERROR(rendered("{{ x" + times(".x", 99999) + " }}"),
                    "test: line 1: a tag has more than 2000 parts");
  EXPECT_USER_ERROR(rendered("{{ 1" + times(" + 1", 600) + " }}"),
                    "test: line 1: calls and expressions are nested more than 500 deep");
}

// Macros and namespaces that hold themselves are given back: a leak here is found by the address sanitizer.
TEST(Jinja, CyclesAreFreed) {
  EXPECT_EQ(rendered("{% set n = namespace() %}{% set n.n = n %}{% macro f() %}x{% endmacro %}{% set n.f = f "
                     "%}{{ n.f() }}"),
            "x");
  EXPECT_EQ(rendered("{% for a in [1, 2] %}{% if loop.changed([loop]) %}x{% endif %}{% endfor %}"), "xx");
}

}  // namespace
}  // namespace caltrop
