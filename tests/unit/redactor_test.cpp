// What is replaced in texts before they are logged.

#include "telemetry/redactor.hpp"
#include "telemetry/line_redactor.hpp"

#include <snakepit/log.hpp>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

redactor usual() { return redactor(log_options().redact); }

struct example {
    std::string text;
    std::string shown;  ///< with "#" for "[redacted]"
};

/// How gtest prints what failed.
void PrintTo(const example& e, std::ostream* to) { *to << e.text; }

std::string marked(std::string text) {
    for (auto at = text.find('#'); at != text.npos; at = text.find('#', at)) text.replace(at, 1, "[redacted]");
    return text;
}

class Redactor : public testing::TestWithParam<example> {};

TEST_P(Redactor, ShowsTheTextWithoutItsSecrets) {
    const auto& [text, shown] = GetParam();
    const auto by = usual();
    EXPECT_EQ(by.text(text), marked(shown));
    EXPECT_EQ(by.text(marked(shown)), marked(shown)) << "once more";
}

const std::vector<example> private_keys = {
    {"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nb", "a\n#\nb"},
    {"-----BEGIN PRIVATE KEY-----\nMIIE\n", "#"},
    {"-----BEGIN EC PRIVATE KEY", "#"},
    {"private_key=-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- x", "private_key=# x"},
    {"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
     "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----"},
    {"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\ny",
     "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n#"},
    {"MIIE\nabc=\n-----END PRIVATE KEY-----\nafter", "#\nafter"},
    {"said: MIIE+/\r\nabc\n-----END RSA PRIVATE KEY----- x", "said: # x"},
    {"a -----END PRIVATE KEY----- b -----END PRIVATE KEY----- c", "a # b # c"},
    {"MIIE\n-----END CERTIFICATE-----", "MIIE\n-----END CERTIFICATE-----"},
};
INSTANTIATE_TEST_SUITE_P(PrivateKeys, Redactor, testing::ValuesIn(private_keys));

const std::vector<example> pairs_and_elements = {
    {"[('Authorization', 'Basic abc'), ('Accept', 'b')]", "[('Authorization', #), ('Accept', 'b')]"},
    {"[(b'x-api-key',b'abc')]", "[(b'x-api-key',#)]"},
    {R"(["password", "a \"b"])", R"(["password", #])"},
    {"('token', 3)", "('token', 3)"},
    {"no token, 'abc'", "no token, 'abc'"},
    {R"(["token", "password": "abc"])", R"(["token", "password": #])"},
    {"<user>bob</user><password>abc</password>", "<user>bob</user><password>#</password>"},
    {"<db-password>a b", "<db-password>#"},
    {"<password></password>", "<password></password>"},
};
INSTANTIATE_TEST_SUITE_P(PairsAndElements, Redactor, testing::ValuesIn(pairs_and_elements));

TEST(LineRedactor, LeavesOutTheRestOfALongLineBehindASecret) {
    line_redactor by(std::make_shared<const redactor>(usual()));
    const std::string filler(10'000, 'x');
    EXPECT_EQ(by.show(filler + " a=b ", false), filler + " a=b ");
    EXPECT_EQ(by.show("c=d" + filler, true), "c=d" + filler);
    EXPECT_EQ(by.show(filler + " password=", false), filler + " password=");
    EXPECT_EQ(by.show("abc", true), "[redacted]");
    EXPECT_EQ(by.show(filler + " token=abc", false), filler + " token=[redacted]");
    EXPECT_EQ(by.show("def", true), "[redacted]");
    EXPECT_EQ(by.show("ghi", true), "[redacted]");
    EXPECT_EQ(by.show("another line", false), "another line");
}

TEST(LineRedactor, KnowsWhatIsNotShown) {
    line_redactor by(std::make_shared<const redactor>(usual()));
    by.pass_over("-----BEGIN PRIVATE KEY-----");
    EXPECT_EQ(by.show("MIIE", false), "[redacted]");
    by.pass_over("-----END PRIVATE KEY-----");
    EXPECT_EQ(by.show("after", false), "after");
    by.pass_over("the beginning of a long line");
    EXPECT_EQ(by.show("its rest", true), "[redacted]");
}

TEST(LineRedactor, ReplacesNothingWithoutKeys) {
    line_redactor by(std::make_shared<const redactor>(std::vector<std::string>()));
    by.pass_over("-----BEGIN PRIVATE KEY-----");
    EXPECT_EQ(by.show("password=abc", true), "password=abc");
}

TEST(Redactor, KnowsAPrivateKeyThatComesLineByLine) {
    const auto by = usual();
    bool in_key = false;
    std::vector<std::string> shown;
    for (const char* line :
         {"before", "-----BEGIN PRIVATE KEY-----", "MIIE", "abc=", "-----END PRIVATE KEY-----", "after"})
        shown.push_back(by.text(line, in_key));
    EXPECT_EQ(shown,
              (std::vector<std::string>{"before", "[redacted]", "[redacted]", "[redacted]", "[redacted]", "after"}));
}

const std::vector<example> assignments = {
    {"password=abc", "password=#"},
    {"password: abc", "password: #"},
    {"password : abc", "password : #"},
    {"password=abc user=bob", "password=# user=bob"},
    {"user=bob password=abc\ttoken=x", "user=bob password=#\ttoken=#"},
    {"PASSWORD=abc", "PASSWORD=#"},
    {"db_password = \"a b\" end", "db_password = # end"},
    {"db.password='a b'", "db.password=#"},
    {"X-Api-Key: abc", "X-Api-Key: #"},
    {"api key: abc", "api key: #"},
    {"apikey=>abc", "apikey=>#"},
    {"secret := abc", "secret := #"},
    {"if token == \"abc\":", "if token == #"},
    {"AWS_SECRET_ACCESS_KEY=abc/def+ghi=", "AWS_SECRET_ACCESS_KEY=#"},
    {"export DB_PASSWORD=\"a b\"c", "export DB_PASSWORD=#"},
    {"secretary=Bob", "secretary=#"},
    {"token=a\npassword=b", "token=#\npassword=#"},
    {"token=\npassword=b", "token=\npassword=#"},
    {"password=", "password="},
    {"password:  ", "password:  "},
    {"password", "password"},
    {"the password is fine", "the password is fine"},
    {"monkey=banana keyboard: qwerty key=open", "monkey=banana keyboard: qwerty key=open"},
    {"", ""},
    {"password==", "password=="},
    {"token: password: abc", "token: #"},
    {"token: password = abc d", "token: # d"},
    {"login(user='bob', password='abc')", "login(user='bob', password=#)"},
    {"(password=abc)", "(password=#)"},
    {"password=a,b", "password=#"},
    {"password=a,b=c", "password=#,b=c"},
    {"password=a, b", "password=#, b"},
    {"password=a;user=b", "password=#;user=b"},
    {"password=a)b]c", "password=#"},
    {"password=\"a", "password=#"},
    {"password='a\nb' c", "password=# c"},
    {"password=b'a b' c", "password=# c"},
    {"password=Rb\"a b\" c", "password=# c"},
    {"\xD0\xBF\xD0\xB0\xD1\x80_password=abc \xD0\xB4", "\xD0\xBF\xD0\xB0\xD1\x80_password=# \xD0\xB4"},
    {"\xE5\xAF\x86password=\xE5\xAF\x86 x", "\xE5\xAF\x86password=# x"},
    {"\x1b[36mpassword\x1b[0m=\x1b[35m'a b'\x1b[0m user=x", "\x1b[36mpassword\x1b[0m=\x1b[35m# user=x"},
    {"os.environ['DB_PASSWORD'] = 'abc'", "os.environ['DB_PASSWORD'] = #"},
};
INSTANTIATE_TEST_SUITE_P(Assignment, Redactor, testing::ValuesIn(assignments));

const std::vector<example> json = {
    {R"({"api_key": "a b", "user": "bob"})", R"({"api_key": #, "user": "bob"})"},
    {R"({"api_key":"a b","user":"bob"})", R"({"api_key":#,"user":"bob"})"},
    {R"({'token': 'x'})", R"({'token': #})"},
    {R"({"token": "a\"b", "c": 1})", R"({"token": #, "c": 1})"},
    {R"({"token": "a\\", "c": 1})", R"({"token": #, "c": 1})"},
    {R"({"token":123,"c":1})", R"({"token":#,"c":1})"},
    {R"([{"token":1},{"token":2}])", R"([{"token":#},{"token":#}])"},
    {R"({"token": ""})", R"({"token": #})"},
    {R"({"credentials": {"user": "a", "pass": "}"}, "x": 1})", R"({"credentials": #, "x": 1})"},
    {R"({"tokens": ["a", ["b"]], "x": 1})", R"({"tokens": #, "x": 1})"},
    {R"({"tokens": ["a", "b)", R"({"tokens": #)"},
    {R"({\"password\": \"a b\", \"c\": 1})", R"({\"password\": #, \"c\": 1})"},
    {R"({\"password\": \"a\\\"b\", \"c\": 1})", R"({\"password\": #, \"c\": 1})"},
    {R"({\"password\":1,\"c\":1})", R"({\"password\":#,\"c\":1})"},
    {R"("{\"password\": \"abc\"}" end)", R"("{\"password\": #}" end)"},
};
INSTANTIATE_TEST_SUITE_P(Json, Redactor, testing::ValuesIn(json));

const std::vector<example> headers = {
    {"Authorization: Bearer abc.def", "Authorization: #"},
    {"Authorization: Bearer abc.def\r\nHost: x", "Authorization: #\r\nHost: x"},
    {"proxy-authorization: Digest username=\"x\", response=\"y\"\nHost: x", "proxy-authorization: #\nHost: x"},
    {"authorization=Basic abc", "authorization=#"},
    {"Cookie: a=b; c=d", "Cookie: #"},
    {"Set-Cookie: a=b; Path=/\nX: y", "Set-Cookie: #\nX: y"},
    {"curl -H 'Authorization: Bearer abc' https://host", "curl -H 'Authorization: #"},
    {R"({"Authorization": "Bearer abc", "Host": "x"})", R"({"Authorization": #, "Host": "x"})"},
    {"token=Bearer abc end", "token=# end"},
    {"sent Bearer eyJhbGciOiJI.eyJz-_~+/== to x", "sent Bearer #== to x"},
    {"Bearer --my-private-key abc", "Bearer # #"},
    {"bearer tokens/my-private-key => abc", "bearer # => #"},
    {"bearer\t0123456789abcdef", "bearer\t#"},
    {"'Bearer 0123456789abcdef'", "'Bearer #'"},
    {"Invalid bearer token: abc", "Invalid bearer token: #"},
    {"bearer token=abc", "bearer token=#"},
    {"bearer bearer 0123456789abcdef", "bearer bearer #"},
    {"Bearer --token abc", "Bearer --token #"},
    {"bearer my-long-access-token: abc", "bearer #: #"},
    {"Bearer 0123456789abcdef: expired", "Bearer #: expired"},
    {"the bearer of incomprehensible", "the bearer of incomprehensible"},
    {"Bearer 0123456789abcde", "Bearer 0123456789abcde"},
    {"forbearer 0123456789abcdef", "forbearer 0123456789abcdef"},
    {"passphrase: abc", "passphrase: #"},
    {"aws_access_key_id = AKIA", "aws_access_key_id = #"},
    {"x-token: basic \"a b\" end", "x-token: # end"},
};
INSTANTIATE_TEST_SUITE_P(Header, Redactor, testing::ValuesIn(headers));

const std::vector<example> options = {
    {"--password abc --user bob", "--password # --user bob"},
    {"--password 'a b' x", "--password # x"},
    {"--api-key=abc x", "--api-key=# x"},
    {"--db-password  abc", "--db-password  #"},
    {"-token abc", "-token #"},
    {"--password --user bob", "--password --user bob"},
    {"--password", "--password"},
    {"Command '['mysql', '--password', 'a b', '-u', 'x']' failed",
     "Command '['mysql', '--password', #, '-u', 'x']' failed"},
    {R"(["--token", "abc"])", R"(["--token", #])"},
    {"db-password abc", "db-password abc"},
};
INSTANTIATE_TEST_SUITE_P(Option, Redactor, testing::ValuesIn(options));

const std::vector<example> urls = {
    {"https://user:secret@host/path", "https://user:#@host/path"},
    {"postgres://u:p@ss@h:5432/db?x=y", "postgres://u:#@h:5432/db?x=y"},
    {"redis://:abc@h", "redis://:#@h"},
    {"https://ghp_abc@github.com/x", "https://#@github.com/x"},
    {"ssh://git@github.com", "ssh://git@github.com"},
    {"https://host/path?mail=a@b.c", "https://host/path?mail=a@b.c"},
    {"https://host?token=abc&x=1", "https://host?token=#&x=1"},
    {"'https://u:p@a','https://u:q@b'", "'https://u:#@a','https://u:#@b'"},
    {"https://[::1]:80/ http://a", "https://[::1]:80/ http://a"},
    {"://@", "://@"},
    {"https://u:@h", "https://u:@h"},
};
INSTANTIATE_TEST_SUITE_P(Url, Redactor, testing::ValuesIn(urls));

TEST(RedactorOfFields, ReplacesWhatIsUnderASecretKeyAndReadsTheRest) {
    const auto shown = usual().fields({{"API-Key", "abc"}, {"url", "https://u:p@h"}, {"user", "bob"}});
    const std::vector<std::pair<std::string, std::string>> wanted = {
        {"API-Key", "[redacted]"}, {"url", "https://u:[redacted]@h"}, {"user", "bob"}};
    EXPECT_EQ(shown, wanted);
}

TEST(RedactorKeys, AreThoseThatItIsGiven) {
    const redactor by({"pin", "", "Key", "redacted"});
    EXPECT_EQ(by.text("password=abc pin=1 monkey: x"), "password=abc pin=[redacted] monkey: [redacted]");
    EXPECT_EQ(by.text(by.text("pin=1 redacted: y")), "pin=[redacted] redacted: [redacted]");
    EXPECT_TRUE(by.is_secret("SPINE"));
    EXPECT_FALSE(by.is_secret("password"));
    const redactor without({});
    EXPECT_EQ(without.text("password=abc https://u:p@h"), "password=abc https://u:p@h");
}

/// Pieces of which a text is made that has a lot to do with secrets.
const std::vector<std::string> pieces = {"password", "token",   "--api-key", "cookie",   "Authorization",
                                         "=",        ":",       " ",         "\n",       "\"",
                                         "'",        "\\",      "\\\"",      "{",        "}",
                                         "[",        "]",       "(",         ")",        ",",
                                         ";",        "&",       "://",       "@",        "https://",
                                         "/",        "Bearer ", "b'",        "x",        "yz",
                                         "-",        "_",       ".",         "\xC3\xA4", "\xFF",
                                         "\t",       ">",       "`",         "\x1b[0m",  "user",
                                         "1",        "\r\n",    "[redacted]"};

TEST(RedactorAtRandom, ChangesNothingTheSecondTimeAndDoesNotGrow) {
    const auto by = usual();
    const auto seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 dice(seed);
    for (int i = 0; i < 30'000; ++i) {
        std::string text;
        for (auto left = dice() % 24; left > 0; --left) text += pieces[dice() % pieces.size()];
        const auto once = by.text(text);
        ASSERT_EQ(by.text(once), once) << "of " << text;
        ASSERT_LE(once.size(), 5 * text.size());
    }
}

TEST(RedactorAtRandom, FindsWhatHasAName) {
    const auto by = usual();
    const auto seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 dice(seed);
    const auto any_of = [&](const std::vector<std::string>& all) { return all[dice() % all.size()]; };
    const auto quoted = [](const std::string& text, char quote) {
        std::string made(1, quote);
        for (const char c : text) {
            if (c == quote || c == '\\') made += '\\';
            made += c;
        }
        return made + quote;
    };
    for (int i = 0; i < 20'000; ++i) {
        const auto secret = fmt::format("S3CR{:08x}T", dice());
        // With all that a password may have, where that is in quotes.
        const auto spiced =
            any_of({"", "a b ", "\"", "'", "\\", "=:,;", "{[("}) + secret + any_of({"", " c", "\"'", "\\"});
        const auto key = any_of({"", "db_", "my-"}) + any_of({"password", "API_KEY", "token", "private-key", "Secret"});
        const auto separator = any_of({"=", ": ", " = ", "=>", ":"});
        std::string form;
        switch (dice() % 6) {
            case 0: form = key + separator + secret; break;
            case 1: form = key + separator + quoted(spiced, any_of({"\"", "'"})[0]); break;
            case 2: form = quoted(key, '"') + ": " + quoted(spiced, '"'); break;
            case 3: form = "--" + key + any_of({" ", "="}) + secret; break;
            case 4: form = "https://user:" + secret + "@host"; break;
            default: form = any_of({"Authorization", "Cookie"}) + ": " + any_of({"", "Bearer ", "a=b; "}) + secret;
        }
        std::string text;
        for (auto left = dice() % 8; left > 0; --left) {
            const auto& piece = pieces[dice() % pieces.size()];
            // Quotes that are not closed before it would make anything of it.
            if (piece.find_first_of("\"'`\\{[(") == piece.npos) text += piece;
        }
        text += ' ' + form + ' ';
        for (auto left = dice() % 8; left > 0; --left) text += pieces[dice() % pieces.size()];
        const auto shown = by.text(text);
        ASSERT_EQ(shown.find(secret), shown.npos) << "in " << text << "\nshown as " << shown;
        ASSERT_EQ(by.text(shown), shown);
    }
}

/// Of this thread: whatever else the machine does meanwhile.
double processor_seconds() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

TEST(RedactorAtRandom, TakesTimeInProportion) {
    const auto by = usual();
    std::vector<std::string> hostile = pieces;
    for (const char* more :
         {"passwor", "password=", "password=\"", "token: [", "token=a,", "a,a", "\"'", "https://u:p@", "password=\\",
          "--token ", "token=a      ", "password=))", "api_key='\\'", "pppp", "://a@"})
        hostile.emplace_back(more);
    for (const auto& piece : hostile) {
        for (const std::string begin : {"", "password=", "password='", "--token", "https://"}) {
            std::string text = begin;
            while (text.size() < (1 << 18)) text += piece;
            const auto from = processor_seconds();
            (void)by.text(text);
            EXPECT_LT(processor_seconds() - from, 0.5) << "256 KiB of " << piece << " behind " << begin;
        }
    }
}

}  // namespace
}  // namespace snakepit::detail
