#include "value/codec.hpp"

#include <gtest/gtest.h>

#include <snakepit/array.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace snakepit::detail {
namespace {

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

value journey(const value& v) {
    auto encoded = encode(v, "args", no_limit);
    if (!encoded) {
        ADD_FAILURE() << encoded.error();
        return value(value::value_t::discarded);
    }
    auto decoded = decode(*encoded, "result");
    if (!decoded) {
        ADD_FAILURE() << decoded.error();
        return value(value::value_t::discarded);
    }
    // What nlohmann's own reader understands is what ours does.
    if (v.type() != value::value_t::number_float && !v.is_structured()) {
        EXPECT_EQ(value::from_msgpack(*encoded), *decoded);
    }
    return *std::move(decoded);
}

template <class T>
void expect_same_number(T n) {
    const value back = journey(n);
    EXPECT_EQ(back, value(n));
    EXPECT_EQ(back.get<T>(), n);
    EXPECT_TRUE(back.is_number_integer()) << n;
}

std::string message_of(const result<std::string>& r) { return r ? "no error" : r.error().message(); }

value nested(std::size_t depth, const value& inner = nullptr) {
    value v = inner;
    for (std::size_t i = 0; i < depth; ++i) {
        value outer = value::array();
        outer.push_back(std::move(v));
        v = std::move(outer);
    }
    return v;
}

TEST(ValueCodec, KeepsNullAndBools) {
    EXPECT_EQ(journey(nullptr), value(nullptr));
    EXPECT_EQ(journey(true), value(true));
    EXPECT_EQ(journey(false), value(false));
}

TEST(ValueCodec, KeepsIntegersAroundEveryPowerOfTwo) {
    for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t power = std::uint64_t{1} << bit;
        for (const std::uint64_t n : {power - 1, power, power + 1}) {
            expect_same_number(n);
            expect_same_number(static_cast<std::int64_t>(n));
            expect_same_number(static_cast<std::int64_t>(0 - n));
        }
    }
    expect_same_number(std::numeric_limits<std::uint64_t>::max());
    expect_same_number(std::numeric_limits<std::int64_t>::min());
    expect_same_number(std::int64_t{-32});
    expect_same_number(std::int64_t{-33});
}

TEST(ValueCodec, KeepsTheSignOfIntegersInTheirType) {
    EXPECT_TRUE(journey(std::numeric_limits<std::uint64_t>::max()).is_number_unsigned());
    EXPECT_FALSE(journey(std::int64_t{-1}).is_number_unsigned());
}

TEST(ValueCodec, KeepsEveryBitOfDoubles) {
    using limits = std::numeric_limits<double>;
    for (const double d :
         {0.0, -0.0, 1.0, 0.1, 1e300, limits::max(), limits::lowest(), limits::min(), limits::denorm_min(),
          -limits::denorm_min(), limits::epsilon(), limits::infinity(), -limits::infinity(), limits::quiet_NaN(),
          16777217.0, static_cast<double>(std::numeric_limits<float>::denorm_min())}) {
        const value back = journey(d);
        ASSERT_TRUE(back.is_number_float()) << d;
        const double got = back.get<double>();
        EXPECT_EQ(std::memcmp(&got, &d, sizeof d), 0) << d << " became " << got;
    }
}

TEST(ValueCodec, ReadsFloatsOfFourBytes) {
    const auto v = decode(std::string("\xCA\x3F\xC0\x00\x00", 5), "result");
    ASSERT_TRUE(v) << v.error();
    EXPECT_EQ(*v, value(1.5));
    EXPECT_TRUE(v->is_number_float());
}

TEST(ValueCodec, KeepsTextOfEveryLengthClass) {
    for (const std::size_t size : {0, 1, 31, 32, 255, 256, 65535, 65536, 100000}) {
        const std::string text(size, 'x');
        EXPECT_EQ(journey(text), value(text)) << size;
    }
    EXPECT_EQ(journey("Grüße \xF0\x9F\x90\x8D"), value("Grüße \xF0\x9F\x90\x8D"));
    EXPECT_EQ(journey(std::string("a\0b", 3)), value(std::string("a\0b", 3)));
}

TEST(ValueCodec, KeepsBytesOfEveryLengthClassApartFromText) {
    for (const std::size_t size : {0, 1, 2, 4, 8, 16, 255, 256, 65535, 65536, 100000}) {
        const value v = bytes(std::vector<std::uint8_t>(size, 0xFF));
        const value back = journey(v);
        EXPECT_EQ(back, v) << size;
        EXPECT_TRUE(back.is_binary());
        EXPECT_FALSE(is_array(back));
    }
}

TEST(ValueCodec, KeepsListsAndMapsOfEveryLengthClass) {
    for (const int size : {0, 1, 15, 16, 65535, 65536}) {
        value list = value::array();
        value map = value::object();
        for (int i = 0; i < size; ++i) {
            list.push_back(i);
            map["key " + std::to_string(i)] = i;
        }
        EXPECT_EQ(journey(list), list) << size;
        EXPECT_EQ(journey(map), map) << size;
    }
}

TEST(ValueCodec, KeepsWhatIsMixedAndNested) {
    const value v = {{"", nullptr},
                     {"list", {1, -1, 0.5, "text", bytes({1, 2}), value::array(), value::object()}},
                     {"map", {{"in", {{"deeper", true}}}}},
                     {"array", array::of<float>({1, 2, 3})}};
    EXPECT_EQ(journey(v), v);
}

TEST(ValueCodec, WritesWhatNlohmannReads) {
    const value v = {{"list", {1, -1, 0.5, "text", nullptr, bytes(std::vector<std::uint8_t>(300))}}, {"ok", true}};
    EXPECT_EQ(value::from_msgpack(*encode(v, "args", no_limit)), v);
}

TEST(ValueCodec, ReadsWhatNlohmannWrites) {
    const value v = {{"list", {1, -1, 0.5, 0.1, "text", nullptr, bytes(std::vector<std::uint8_t>(300))}}, {"ok", true}};
    const auto packed = value::to_msgpack(v);
    const auto back = decode({reinterpret_cast<const char*>(packed.data()), packed.size()}, "result");
    ASSERT_TRUE(back) << back.error();
    EXPECT_EQ(*back, v);
}

TEST(ValueCodec, LetsTheLastOfEqualKeysWin) {
    const auto v = decode("\x82\xA1k\x92\x01\x02\xA1k\x03", "result");
    ASSERT_TRUE(v) << v.error();
    EXPECT_EQ(*v, value({{"k", 3}}));
}

TEST(ValueCodec, AllowsNestingUpToTheLimitAndNotBeyond) {
    EXPECT_EQ(journey(nested(max_depth)), nested(max_depth));
    const auto r = encode(nested(max_depth + 1), "args", no_limit);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error(), errc::unserializable);
    EXPECT_NE(r.error().message().find("nested more than 500 deep"), std::string::npos) << r.error();
}

TEST(ValueCodec, RefusesNestingOfAnyDepthWithoutOverflowingTheStack) {
    for (const std::size_t depth : {10'000U, 1'000'000U}) EXPECT_FALSE(encode(nested(depth), "args", no_limit));
}

TEST(ValueCodec, CountsMapsAsLevels) {
    value v = nullptr;
    for (int i = 0; i < max_depth; ++i) v = value{{"k", std::move(v)}};
    EXPECT_EQ(journey(v), v);
    EXPECT_FALSE(encode(value{{"k", std::move(v)}}, "args", no_limit));
}

TEST(ValueCodec, NamesThePathOfTextThatIsNotUtf8) {
    const value v = {{"rows", {1, 2, 3, {{"when", "\xFF"}}}}};
    EXPECT_EQ(message_of(encode(v, "args", no_limit)), "args[\"rows\"][3][\"when\"]: text is not UTF-8");
    EXPECT_EQ(message_of(encode("\xFF", "args", no_limit)), "args: text is not UTF-8");
}

TEST(ValueCodec, NamesThePathOfAMapWithAKeyThatIsNotUtf8) {
    const value v = {{"rows", {{{"\xC3(", 1}}}}};
    const auto r = encode(v, "args", no_limit);
    EXPECT_EQ(message_of(r), "args[\"rows\"][0]: a map key is not UTF-8");
    EXPECT_EQ(r.error(), errc::unserializable);
}

TEST(ValueCodec, QuotesKeysInPathsAndCutsLongOnes) {
    EXPECT_EQ(message_of(encode({{"a\"b\n", "\xFF"}}, "args", no_limit)), "args[\"a\\\"b\\n\"]: text is not UTF-8");
    std::string long_key(79, 'k');
    long_key += "\xC3\xA4 and more";
    EXPECT_EQ(message_of(encode({{long_key, "\xFF"}}, "args", no_limit)),
              "args[\"" + std::string(79, 'k') + "...\"]: text is not UTF-8");
}

TEST(ValueCodec, LeavesOutTheMiddleOfLongPaths) {
    std::string few = "args";
    for (int i = 0; i < 24; ++i) few += "[0]";
    EXPECT_EQ(message_of(encode(nested(24, "\xFF"), "args", no_limit)), few + ": text is not UTF-8");
    std::string many = "args";
    for (int i = 0; i < 12; ++i) many += "[0]";
    many += "[...]";
    for (int i = 0; i < 11; ++i) many += "[0]";
    EXPECT_EQ(message_of(encode(nested(25, "\xFF"), "args", no_limit)), many + ": text is not UTF-8");
    EXPECT_EQ(message_of(encode(nested(400, "\xFF"), "args", no_limit)), many + ": text is not UTF-8");
}

TEST(ValueCodec, RefusesDiscardedValues) {
    const auto r = encode({1, value(value::value_t::discarded)}, "args", no_limit);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error(), errc::unserializable);
    EXPECT_EQ(r.error().message(), "args[1]: a discarded value cannot travel");
}

TEST(ValueCodec, RefusesBytesOfAForeignSubtype) {
    const value array_value = array::of<int>({1, 2});
    for (const std::uint64_t subtype : {0, 2, 255, 257}) {
        const auto r = encode(value::binary(array_value.get_binary(), subtype), "args", no_limit);
        ASSERT_FALSE(r) << subtype;
        EXPECT_EQ(r.error(), errc::unserializable);
        EXPECT_EQ(r.error().message(), "args: bytes of subtype " + std::to_string(subtype) + " cannot travel");
    }
}

TEST(ValueCodec, RefusesAnArrayThatWasTamperedWith) {
    const auto r = encode({{"x", value::binary({1, 2}, array_ext)}}, "args", no_limit);
    EXPECT_EQ(message_of(r), "args[\"x\"]: an array must be [dtype, shape, data]");
}

TEST(ValueCodec, AllowsExactlyAsManyBytesAsItMay) {
    for (const value& v : {value("text"), value({1, 2, 3}), value({{"key", "value"}}), bytes({1, 2, 3}), value(nullptr),
                           value(1.5), value(array::of<int>({1, 2}))}) {
        const auto size = encode(v, "args", no_limit)->size();
        EXPECT_TRUE(encode(v, "args", size));
        for (std::size_t limit = 0; limit < size; ++limit) {
            const auto r = encode(v, "args", limit);
            ASSERT_FALSE(r) << v << " in " << limit;
            EXPECT_EQ(r.error(), errc::message_too_large);
        }
    }
}

TEST(ValueCodec, SaysHowManyBytesAreAllowed) {
    EXPECT_EQ(message_of(encode(std::string(2000, 'x'), "args", 1000)),
              "args: the value needs more than the 1000 bytes that are allowed");
}

}  // namespace
}  // namespace snakepit::detail
