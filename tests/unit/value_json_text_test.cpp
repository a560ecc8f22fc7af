#include "value/json_text.hpp"

#include "value/codec.hpp"

#include <gtest/gtest.h>

#include <snakepit/array.hpp>

#include <fmt/format.h>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace snakepit::detail {
namespace {

value parsed(std::string_view text) {
    auto v = from_json_text(text);
    if (!v) {
        ADD_FAILURE() << v.error();
        return value(value::value_t::discarded);
    }
    return *std::move(v);
}

std::string written(const value& v, int indent = -1) {
    const auto text = to_json_text(v, indent);
    return text ? *text : "refused: " + text.error().message();
}

std::string mistake_in(std::string_view text) {
    const auto v = from_json_text(text);
    if (v) return "no error";
    EXPECT_EQ(v.error(), errc::bad_arguments);
    return v.error().message();
}

/// Whether a mistake is found and its message begins like this.
::testing::AssertionResult is_refused(std::string_view text, std::string_view beginning) {
    const auto message = mistake_in(text);
    if (message.starts_with(beginning)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << text << ": " << message;
}

std::string repeated(std::string_view piece, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += piece;
    return text;
}

TEST(ValueJsonText, KeepsEveryKindOfValue) {
    const value v = {
        {"null", nullptr},
        {"bools", {true, false}},
        {"text", "Grüße \"\n\x01"},
        {"double", {0.1, -0.0, 1.0, 1e300, 5e-324}},
        {"integers", {0, -1, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::uint64_t>::max()}},
        {"infinities", {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}},
        {"bytes", {bytes({}), bytes({0}), bytes({0, 255}), bytes({1, 2, 3})}},
        {"arrays",
         {array::of<double>({0.1, 2}), *array::of<float>(std::vector<float>{1}, {}),
          *array::from_bytes(R"([["x","<i2",[2]],["y","|S1"]])", {1}, std::as_bytes(std::span("abcd")))}},
        {"empty", {value::array(), value::object(), ""}}};
    EXPECT_EQ(parsed(written(v)), v);
    EXPECT_EQ(parsed(written(v, 2)), v);
    for (const double d : {0.1, -0.0, 1.0}) {
        const auto back = parsed(written(d));
        ASSERT_TRUE(back.is_number_float());
        const double got = back.get<double>();
        EXPECT_EQ(std::memcmp(&got, &d, sizeof d), 0);
    }
}

TEST(ValueJsonText, WritesTagsForWhatJsonHasNoWordFor) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    EXPECT_EQ(written(std::nan("")), R"({"$float":"nan"})");
    EXPECT_EQ(written({infinity, -infinity}), R"([{"$float":"inf"},{"$float":"-inf"}])");
    EXPECT_EQ(written(bytes({'a', 'b', 'c', 'd'})), R"({"$bytes":"YWJjZA=="})");
    EXPECT_EQ(written(array::of<std::uint8_t>({1, 2})), R"({"$array":{"base64":"AQI=","dtype":"|u1","shape":[2]}})");
    EXPECT_EQ(written(*array::from_bytes(R"([["x","|u1"]])", {0}, {})),
              R"({"$array":{"base64":"","dtype":[["x","|u1"]],"shape":[0]}})");
    EXPECT_TRUE(std::isnan(parsed(R"({"$float": "nan"})").get<double>()));
}

TEST(ValueJsonText, IndentsOnRequest) {
    EXPECT_EQ(written({{"a", {1, 2}}}, 2), "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
    EXPECT_EQ(written({{"a", {1, 2}}}), R"({"a":[1,2]})");
}

TEST(ValueJsonText, WritesWhatIsNoArrayAsBytes) {
    EXPECT_EQ(written(value::binary({1}, array_ext)), R"({"$bytes":"AQ=="})");
}

TEST(ValueJsonText, ReadsDtypesAsTextOrAsLists) {
    EXPECT_EQ(parsed(R"({"$array": {"dtype": "<i2", "shape": [1], "base64": "AQA="}})"),
              value(array::of<std::int16_t>({1})));
    EXPECT_EQ(parsed(R"({"$array": {"dtype": "[[\"x\",\"|u1\"]]", "shape": [1], "base64": "AQ=="}})"),
              value(*array::from_bytes(R"([["x","|u1"]])", {1}, std::as_bytes(std::span("\x01", 1)))));
}

TEST(ValueJsonText, TakesMapsThatOnlyLookLikeTagsAsTheyAre) {
    for (const char* text :
         {R"({"$float":"NaN"})", R"({"$float":1.5})", R"({"$float":"nan","more":1})", R"({"$bytes":7})",
          R"({"$bytes":"","$float":"nan"})", R"({"$array":[]})", R"({"$array":{}})", R"({"$other":"nan"})",
          R"({"$array":{"dtype":"|u1","shape":[1]}})", R"({"$array":{"base64":"","dtype":"|u1","shape":[0],"x":1}})",
          R"({"$array":{"bytes":"","dtype":"|u1","shape":[0]}})"}) {
        EXPECT_EQ(parsed(text), value::parse(text)) << text;
        EXPECT_EQ(written(value::parse(text)), text);
    }
}

TEST(ValueJsonText, RefusesTagsWhoseContentStandsForNothing) {
    for (const char* text : {"YQ", "YR==", "YQ=\\n", "Y===", "====", "YQ==YQ==", "Y-_="})
        EXPECT_EQ(mistake_in(fmt::format("[1,\n {{\"$bytes\": \"{}\"}}]", text)),
                  "line 2, column 2: $bytes: not base64");
    EXPECT_EQ(mistake_in(R"({"$array":{"base64":"?","dtype":"|u1","shape":[0]}})"),
              "line 1, column 1: $array: not base64");
    EXPECT_EQ(mistake_in(R"({"$array":{"base64":1,"dtype":"|u1","shape":[0]}})"),
              "line 1, column 1: $array: not base64");
    EXPECT_TRUE(is_refused(R"({"$array":{"base64":"","dtype":"|u1","shape":[1]}})", "line 1, column 1: $array: "));
    for (const char* dtype : {R"("O")", "1", R"("")", "[1]"})
        EXPECT_TRUE(is_refused(fmt::format(R"({{"$array":{{"base64":"","dtype":{},"shape":[0]}}}})", dtype),
                               "line 1, column 1: $array: dtype"));
    for (const char* shape : {"0", "[-1]", "[0.5]", "[\"0\"]", "null"})
        EXPECT_TRUE(is_refused(fmt::format(R"({{"$array":{{"base64":"","dtype":"|u1","shape":{}}}}})", shape),
                               "line 1, column 1: $array: shape"));
}

TEST(ValueJsonText, WritesNoMapThatWouldBeReadAsATag) {
    for (const char* text : {R"({"$float":"nan"})", R"({"$float":"-inf"})", R"({"$bytes":""})", R"({"$bytes":"?"})",
                             R"({"$array":{"base64":1,"dtype":2,"shape":3}})", R"([1,{"a":{"$float":"inf"}}])"})
        EXPECT_TRUE(written(value::parse(text)).starts_with("refused: a map that looks like \"$")) << text;
    EXPECT_EQ(to_json_text({{"$float", "nan"}}).error(), errc::unserializable);
}

TEST(ValueJsonText, ReadsBase64OfEveryLength) {
    std::vector<std::uint8_t> data;
    for (unsigned i = 0; i < 300; ++i) {
        EXPECT_EQ(parsed(written(bytes(data))), bytes(data)) << i;
        data.push_back(static_cast<std::uint8_t>(i * 37));
    }
    // RFC 4648, section 10
    EXPECT_EQ(written(bytes({'f', 'o', 'o', 'b', 'a'})), R"({"$bytes":"Zm9vYmE="})");
    EXPECT_EQ(written(bytes({'f', 'o', 'o', 'b', 'a', 'r'})), R"({"$bytes":"Zm9vYmFy"})");
}

TEST(ValueJsonText, KeepsIntegersOf64BitsAndRefusesLargerOnes) {
    EXPECT_EQ(parsed("18446744073709551615"), value(std::numeric_limits<std::uint64_t>::max()));
    EXPECT_EQ(parsed("-9223372036854775808"), value(std::numeric_limits<std::int64_t>::min()));
    EXPECT_EQ(mistake_in("18446744073709551616"), "line 1, column 1: an integer of more than 64 bits");
    EXPECT_EQ(mistake_in("-9223372036854775809"), "line 1, column 1: an integer of more than 64 bits");
    EXPECT_EQ(mistake_in("[1,\n \"ä\", 99999999999999999999999\n]"),
              "line 2, column 7: an integer of more than 64 bits");
    EXPECT_EQ(mistake_in("[1,\n99999999999999999999999]"), "line 2, column 1: an integer of more than 64 bits");
    EXPECT_TRUE(parsed("99999999999999999999999.0").is_number_float());
}

TEST(ValueJsonText, RefusesNumbersTooLargeForADouble) {
    EXPECT_TRUE(is_refused("1e400", "line 1, column 1: number overflow"));
    EXPECT_TRUE(is_refused("[0,\n -1e400]", "line 2, column 2: number overflow"));
    EXPECT_EQ(parsed("1e-400"), value(0.0));
}

TEST(ValueJsonText, NamesLineAndColumnOfMistakes) {
    EXPECT_TRUE(is_refused("", "line 1, column 1: "));
    EXPECT_TRUE(is_refused("x", "line 1, column 1: "));
    EXPECT_TRUE(is_refused("[1,\n 2,,\n 3]", "line 2, column 4: "));
    EXPECT_TRUE(is_refused("{\"ä\": x}", "line 1, column 7: "));
    EXPECT_TRUE(is_refused("[1, 2", "line 1, column 6: "));
    EXPECT_TRUE(is_refused("1 2", "line 1, column 3: "));
    for (const char* text : {"{1: 2}",   "{\"a\" 1}", "{\"a\": 1,}", "[1,]",        "nul",    "NaN",
                             "Infinity", "01",        "1.",          ".5",          "+1",     "'a'",
                             "\"a",      "\"\\x\"",   "\"\\ud800\"", "\"\\udc00\"", "\"\n\"", "// comment\n1",
                             "]",        "}",         "[}",          "\"\xFF\""})
        EXPECT_TRUE(is_refused(text, "line ")) << text;
}

TEST(ValueJsonText, RefusesAZeroByteAndWhatIsBehindIt) {
    EXPECT_EQ(mistake_in(std::string_view("1\0 2", 4)), "line 1, column 2: a zero byte");
    EXPECT_EQ(mistake_in(std::string_view("1\0", 2)), "line 1, column 2: a zero byte");
}

TEST(ValueJsonText, SaysNothingThatIsNotUtf8) {
    const auto message = mistake_in("[\"abc\xFF\"]");
    EXPECT_NO_THROW((void)value(message).dump());
    EXPECT_EQ(written("\xFF"), "\"\xEF\xBF\xBD\"");
}

TEST(ValueJsonText, LetsTheLastOfEqualKeysWin) { EXPECT_EQ(parsed(R"({"k": [1], "k": 2})"), value({{"k", 2}})); }

TEST(ValueJsonText, AllowsNestingUpToTheLimitAndNotBeyond) {
    EXPECT_EQ(mistake_in(repeated("[", 500) + repeated("]", 500)), "no error");
    EXPECT_EQ(mistake_in(repeated("[", 501) + repeated("]", 501)), "line 1, column 501: nested more than 500 deep");
    EXPECT_EQ(mistake_in(repeated("{\"k\":", 501) + "1" + repeated("}", 501)),
              "line 1, column 2501: nested more than 500 deep");
    EXPECT_EQ(mistake_in(repeated("[", 1'000'000)), "line 1, column 501: nested more than 500 deep");
    EXPECT_EQ(mistake_in(repeated("[", 1'000'000) + repeated("]", 1'000'000)),
              "line 1, column 501: nested more than 500 deep");
}

TEST(ValueJsonText, DoesNotCountTheLevelsOfTags) {
    value v = {std::numeric_limits<double>::infinity(), bytes({1}), array::of<int>({1}),
               *array::from_bytes(R"([["x","|u1"]])", {0}, {})};
    for (int i = 1; i < max_depth; ++i) v = value::array({std::move(v)});
    EXPECT_EQ(parsed(written(v)), v);
    EXPECT_TRUE(encode(v, "args", 1'000'000));
    // A tag does not excuse what was too deep before it, nor a map that only looks like one.
    const std::string deep = repeated("[", 499);
    EXPECT_TRUE(
        is_refused(deep + "[[]],{\"$float\":\"inf\"}" + repeated("]", 499), "line 1, column 501: nested more than"));
    EXPECT_TRUE(
        is_refused(deep + "[{\"$float\":\"inf\"},[]]" + repeated("]", 499), "line 1, column 518: nested more than"));
    EXPECT_TRUE(
        is_refused(deep + "[{\"$float\":\"no\"}]" + repeated("]", 499), "line 1, column 501: nested more than"));
}

}  // namespace
}  // namespace snakepit::detail
