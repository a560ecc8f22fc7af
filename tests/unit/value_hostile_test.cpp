// Bytes that no honest worker sends.

#include "value/codec.hpp"

#include <gtest/gtest.h>

#include <snakepit/array.hpp>

#include <limits>
#include <string>

namespace snakepit::detail {
namespace {

std::string message_of(std::string_view bytes) {
    const auto r = decode(bytes, "result");
    if (r) return "no error";
    EXPECT_EQ(r.error(), errc::unserializable);
    return r.error().message();
}

std::string packed(std::initializer_list<int> bytes) {
    std::string text;
    for (const int b : bytes) text += static_cast<char>(b);
    return text;
}

std::string repeated(std::string_view piece, std::size_t times) {
    std::string text;
    for (std::size_t i = 0; i < times; ++i) text += piece;
    return text;
}

std::string sample() {
    const value v = {{"name", "Grüße"},
                     {"numbers", {0, 127, 128, 65536, -1, -200, -70000, 5000000000, -5000000000, 0.5, 1e300}},
                     {"nothing", nullptr},
                     {"flags", {true, false}},
                     {"raw", bytes(std::vector<std::uint8_t>(20, 7))},
                     {"array", *array::of<std::int16_t>(std::vector<std::int16_t>{1, 2, 3, 4, 5, 6}, {2, 3})},
                     {"records", *array::from_bytes(R"([["x","<f4"],["y","|u1",[2]]])", {1},
                                                    std::as_bytes(std::span("sample")).first(6))},
                     {"inner", {{"long text", std::string(40, 'x')}, {"list", {{1, 2}, {3, {4}}}}}}};
    return *encode(v, "args", std::numeric_limits<std::size_t>::max());
}

constexpr auto truncated = "result: the bytes end in the middle of the value";

TEST(ValueHostile, RefusesEveryTruncation) {
    const std::string whole = sample();
    ASSERT_TRUE(decode(whole, "result"));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        // A copy of exactly this size, so that AddressSanitizer sees a read behind it.
        const std::vector<char> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_FALSE(decode({part.data(), part.size()}, "result")) << size;
    }
}

TEST(ValueHostile, RefusesBytesBehindTheValue) {
    EXPECT_EQ(message_of(sample() + '\xC0'), "result: bytes are left over behind the value");
    EXPECT_EQ(message_of(packed({0x01, 0x02})), "result: bytes are left over behind the value");
}

TEST(ValueHostile, AnswersEveryMutationOfOneByte) {
    const std::string whole = sample();
    std::size_t accepted = 0;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (int byte = 0; byte < 256; ++byte) {
            std::string changed = whole;
            changed[at] = static_cast<char>(byte);
            const auto v = decode(changed, "result");
            if (!v) {
                ASSERT_EQ(v.error(), errc::unserializable);
                continue;
            }
            ++accepted;
            // What is taken in can go out again.
            ASSERT_TRUE(encode(*v, "args", std::numeric_limits<std::size_t>::max())) << at << " " << byte;
        }
    }
    EXPECT_GT(accepted, whole.size());
}

TEST(ValueHostile, BelievesNoLengthBeforeTheBytesAreThere) {
    EXPECT_EQ(message_of(packed({0xDD, 0xFF, 0xFF, 0xFF, 0xFF})), truncated);                   // list of 4e9
    EXPECT_EQ(message_of(packed({0xDF, 0xFF, 0xFF, 0xFF, 0xFF})), truncated);                   // map of 4e9
    EXPECT_EQ(message_of(packed({0xDB, 0xFF, 0xFF, 0xFF, 0xFF, 'x'})), truncated);              // text of 4 GiB
    EXPECT_EQ(message_of(packed({0xC6, 0xFF, 0xFF, 0xFF, 0xFF, 'x'})), truncated);              // bytes of 4 GiB
    EXPECT_EQ(message_of(packed({0xC9, 0xFF, 0xFF, 0xFF, 0xFF, array_ext, 0x93})), truncated);  // ext of 4 GiB
}

TEST(ValueHostile, ReservesNoMoreThanTheInputCouldFill) {
    // Each of many nested lists claims as much as is left: what they claim together cannot be there.
    constexpr std::size_t filler = 1'000'000;
    std::string bytes;
    for (int i = 0; i < 400; ++i) bytes += packed({0xDD, 0x00, 0x0F, 0x42, 0x40});
    bytes += std::string(filler, '\x01');
    EXPECT_EQ(message_of(bytes), "result[0]: the bytes end in the middle of the value");
}

TEST(ValueHostile, RefusesListsThatOweMoreThanIsLeft) {
    EXPECT_EQ(message_of(packed({0x93, 0x91})), truncated);
    EXPECT_EQ(message_of(packed({0x92, 0xA1, 'x'})), "result[1]: the bytes end in the middle of the value");
    EXPECT_EQ(message_of(packed({0x93, 0xA2, 'x', 'y', 0x91})), "result[1]: the bytes end in the middle of the value");
}

TEST(ValueHostile, AllowsNestingUpToTheLimitAndNotBeyond) {
    for (const auto* piece : {"\x91", "\x81\xA1k"}) {
        EXPECT_EQ(message_of(repeated(piece, max_depth) + '\xC0'), "no error");
        EXPECT_NE(message_of(repeated(piece, max_depth + 1) + '\xC0').find("nested more than 500 deep"),
                  std::string::npos);
    }
}

TEST(ValueHostile, RefusesNestingOfAnyDepthWithoutOverflowingTheStack) {
    for (const std::size_t depth : {10'000U, 1'000'000U}) {
        EXPECT_NE(message_of(repeated("\x91", depth) + '\xC0').find("nested more than 500 deep"), std::string::npos);
        EXPECT_NE(message_of(repeated("\x81\xA0", depth) + '\xC0').find("nested more than 500 deep"),
                  std::string::npos);
    }
}

TEST(ValueHostile, RefusesMapKeysThatAreNotTextAndNamesTheMap) {
    // {"rows": [0, {1: 2}]}
    EXPECT_EQ(message_of(packed({0x81, 0xA4, 'r', 'o', 'w', 's', 0x92, 0x00, 0x81, 0x01, 0x02})),
              "result[\"rows\"][1]: a map key is not text");
    for (const int key : {0xC0, 0xC2, 0xC3, 0xFF, 0x90, 0x80})
        EXPECT_EQ(message_of(packed({0x81, key, 0x02})), "result: a map key is not text") << key;
    EXPECT_EQ(message_of(packed({0x81, 0xC4, 0x01, 'k', 0x02})), "result: a map key is not text");
}

TEST(ValueHostile, RefusesTextAndKeysThatAreNotUtf8) {
    EXPECT_EQ(message_of(packed({0x92, 0x00, 0xA1, 0xFF})), "result[1]: text is not UTF-8");
    EXPECT_EQ(message_of(packed({0x81, 0xA1, 0xFF, 0x00})), "result: a map key is not UTF-8");
    EXPECT_EQ(message_of(packed({0xA3, 0xED, 0xA0, 0x80})), "result: text is not UTF-8");
}

TEST(ValueHostile, RefusesExtensionTypesThatAreNotOurs) {
    EXPECT_EQ(message_of(packed({0x91, 0xD4, 0x02, 0x00})), "result[0]: MessagePack extension type 2 is unknown");
    EXPECT_EQ(message_of(packed({0xD6, 0xFF, 0, 0, 0, 0})), "result: MessagePack extension type -1 is unknown");
    EXPECT_EQ(message_of(packed({0xC7, 0x00, 0x00})), "result: MessagePack extension type 0 is unknown");
}

TEST(ValueHostile, RefusesTheByteThatMessagePackDoesNotHave) {
    EXPECT_EQ(message_of(packed({0x91, 0xC1})), "result[0]: a byte that MessagePack does not have");
}

std::string array_of(std::string_view payload) {
    return packed({0xC8, static_cast<int>(payload.size() >> 8), static_cast<int>(payload.size() & 0xFF), array_ext}) +
           std::string(payload);
}

TEST(ValueHostile, RefusesMalformedArrays) {
    using namespace std::string_literals;
    EXPECT_EQ(message_of(array_of("\x93\xA3|u1\x91\x02\xC4\x02xy"s)), "no error");
    EXPECT_EQ(message_of(array_of("")), "result: an array must be [dtype, shape, data]");
    EXPECT_EQ(message_of(array_of("\x92\xA3|u1\x91\x02")), "result: an array must be [dtype, shape, data]");
    EXPECT_EQ(message_of(array_of("\x93")), "result: the dtype of an array must be text or a list of fields");
    EXPECT_EQ(message_of(array_of("\x93\x01\x91\x02\xC4\x02xy")),
              "result: the dtype of an array must be text or a list of fields");
    EXPECT_EQ(message_of(array_of("\x93\xA3|\xFF\x31\x91\x02\xC4\x02xy")),
              "result: the dtype of an array must be text or a list of fields");
    EXPECT_EQ(message_of(array_of("\x93\xA2|O\x91\x02\xC4\x02xy")), "result: an array of Python objects cannot travel");
    EXPECT_EQ(message_of(array_of("\x93\xA3|x1\x91\x02\xC4\x02xy")),
              "result: the dtype \"|x1\" of an array is unknown");
    EXPECT_EQ(message_of(array_of("\x93\xA3>u2\x91\x01\xC4\x02xy")),
              "result: the dtype \">u2\" of an array is not in native byte order");
    EXPECT_EQ(message_of(array_of("\x93\xA3|u1\x91\xFF\xC4\x02xy")),
              "result: the shape of an array must be a list of at most 32 sizes");
    EXPECT_EQ(message_of(array_of("\x93\xA3|u1\x02\xC4\x02xy")),
              "result: the shape of an array must be a list of at most 32 sizes");
    EXPECT_EQ(message_of(array_of("\x93\xA3|u1\x91\x02\xA2xy")), "result: the data of an array must be bytes");
    EXPECT_EQ(message_of(array_of("\x93\xA3|u1\x91\x02\xC4\x02xyz")), "result: bytes are left over behind an array");
    EXPECT_EQ(message_of(array_of("\x93\xA3|u1\x91\x03\xC4\x02xy")),
              "result: an array of 2 bytes: dtype |u1 and shape [3] need 3");
}

TEST(ValueHostile, RefusesShapesWhoseProductOverflows) {
    using namespace std::string_literals;
    const std::string huge = "\xCF\x00\x00\x00\x01\x00\x00\x00\x00"s;  // 2**32
    EXPECT_NE(message_of(array_of("\x93\xA3|u1\x92" + huge + huge + "\xC4\x00"s)), "no error");
    EXPECT_NE(message_of(array_of("\x93\xA3|u1\x93" + huge + huge + "\x00\xC4\x00"s)), "no error");
    EXPECT_NE(message_of(array_of("\x93\xA3|S0\x92" + huge + huge + "\xC4\x00"s)), "no error");
    EXPECT_NE(message_of(array_of("\x93\xA3<f8\x91\xCF\x20\x00\x00\x00\x00\x00\x00\x00\xC4\x00"s)), "no error");
}

TEST(ValueHostile, RefusesDtypesOfAnyDepthWithoutOverflowingTheStack) {
    std::string deep = "\x93";
    for (int i = 0; i < 20'000; ++i) deep += "\x91\x92\xA0";
    EXPECT_EQ(message_of(array_of(deep)), "result: the dtype of an array must be text or a list of fields");
}

TEST(ValueHostile, DoesNotFollowArraysInsideArrays) {
    std::string payload = "x";
    for (int i = 0; i < 5'000; ++i)
        payload = packed({0x93, 0xC8, static_cast<int>(payload.size() >> 8), static_cast<int>(payload.size() & 0xFF),
                          array_ext}) +
                  payload;
    EXPECT_EQ(message_of(array_of(payload)), "result: the dtype of an array must be text or a list of fields");
}

}  // namespace
}  // namespace snakepit::detail
