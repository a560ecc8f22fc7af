#include "value/utf8.hpp"

#include <gtest/gtest.h>

#include <string>

using snakepit::detail::is_utf8;

namespace {

/// The text alone, and behind and before ASCII of every length that the fast path treats differently.
bool is_utf8_everywhere(const std::string& text) {
    const bool alone = is_utf8(text);
    for (std::size_t n = 0; n <= 17; ++n) {
        const std::string ascii(n, 'a');
        EXPECT_EQ(is_utf8(ascii + text), alone) << n;
        EXPECT_EQ(is_utf8(text + ascii), alone) << n;
        EXPECT_EQ(is_utf8(ascii + text + ascii), alone) << n;
    }
    return alone;
}

TEST(ValueUtf8, AcceptsTheFirstAndLastCharacterOfEachLength) {
    for (const char* text : {"", "\x01", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                             "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
        EXPECT_TRUE(is_utf8_everywhere(text)) << text;
    EXPECT_TRUE(is_utf8_everywhere(std::string(1, '\0')));
    EXPECT_TRUE(is_utf8_everywhere("Grüße, 世界, \xF0\x9F\x90\x8D"));
}

TEST(ValueUtf8, RefusesOverlongForms) {
    for (const char* text :
         {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF"})
        EXPECT_FALSE(is_utf8_everywhere(text));
}

TEST(ValueUtf8, RefusesSurrogatesAndWhatIsAboveTheLastCharacter) {
    for (const char* text : {"\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xFE"})
        EXPECT_FALSE(is_utf8_everywhere(text));
}

TEST(ValueUtf8, RefusesBytesOutOfPlaceAndCharactersCutShort) {
    for (const char* text : {"\x80", "\xBF", "\xC3", "\xC3(", "\xE2\x82", "\xE2(\xA1", "\xE2\x82(", "\xF0\x9F\x90",
                             "\xF0\x9F\x90(", "\xF0(\x9F\x90", "\xC3\xA4\x80"})
        EXPECT_FALSE(is_utf8_everywhere(text));
}

TEST(ValueUtf8, AgreesWithTheDefinitionOnAllCodePoints) {
    for (unsigned code = 0; code <= 0x1FFFFF; ++code) {
        std::string text;
        const auto put = [&text](unsigned byte) { text += static_cast<char>(byte); };
        if (code < 0x80) {
            put(code);
        } else if (code < 0x800) {
            put(0xC0 | code >> 6);
            put(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            put(0xE0 | code >> 12);
            put(0x80 | (code >> 6 & 0x3F));
            put(0x80 | (code & 0x3F));
        } else {
            put(0xF0 | code >> 18);
            put(0x80 | (code >> 12 & 0x3F));
            put(0x80 | (code >> 6 & 0x3F));
            put(0x80 | (code & 0x3F));
        }
        const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
        ASSERT_EQ(is_utf8(text), !is_surrogate && code <= 0x10FFFF) << std::hex << code;
    }
}

}  // namespace
