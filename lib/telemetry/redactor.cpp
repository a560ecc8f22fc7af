#include "telemetry/redactor.hpp"

#include <algorithm>
#include <cstdint>

namespace snakepit::detail {
namespace {

constexpr auto instead = redactor::instead;

// https://www.rfc-editor.org/rfc/rfc7468
constexpr std::string_view key_begin = "-----BEGIN ";
constexpr std::string_view key_end = "-----END ";
constexpr std::string_view dashes = "-----";

bool is_base64(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
           c == '=' || c == '\\';  // the last for ends of lines that are escaped
}

/// Where what the marker there ends with ends; 0: it is not about a private key.
std::size_t end_of_marker(std::string_view text, std::size_t at, std::string_view marker) {
    const auto label = at + marker.size();
    const auto end = text.find(dashes, label);
    const auto length = end == text.npos ? text.npos : end - label;
    if (text.substr(label, length).find("PRIVATE KEY") == text.npos) return 0;
    return end == text.npos ? text.size() : end + dashes.size();
}

/// Of a private key in PEM. One that only ends here has lost its beginning, such as in the tail of an output: what
/// looks like its lines goes as well.
/// @param within  it has begun before, and goes on
std::string without_private_keys(std::string_view text, bool& within) {
    std::string made;
    std::size_t kept = 0;  // until there it is in `made`, or is left out
    const auto leave_out = [&](std::size_t from, std::size_t to) {
        made.append(text.substr(kept, from - kept)).append(instead);
        kept = to;
    };
    for (std::size_t at = 0;;) {
        auto from = at;
        if (!within) {
            at = text.find(dashes, at);
            if (at == text.npos) break;
            from = at;
            const auto rest = text.substr(at);
            if (rest.starts_with(key_begin) && end_of_marker(text, at, key_begin) != 0) {
                within = true;
            } else if (const auto end = rest.starts_with(key_end) ? end_of_marker(text, at, key_end) : 0; end != 0) {
                while (from > kept && (is_base64(text[from - 1]) || text[from - 1] == '\n' || text[from - 1] == '\r'))
                    --from;
                leave_out(from, end);
                at = end;
                continue;
            } else {
                ++at;
                continue;
            }
        }
        const auto last = text.find(key_end, at);
        const auto closed = last == text.npos ? text.npos : text.find(dashes, last + key_end.size());
        within = closed == text.npos;
        at = within ? text.size() : closed + dashes.size();
        leave_out(from, at);
        if (within) break;
    }
    return made.append(text.substr(kept));
}

constexpr std::size_t longest_run = 8;  // of quotes and brackets at a key or behind a value: each byte is read again

char folded(char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
    return c == '-' || c == ' ' ? '_' : c;
}

std::string folded(std::string_view text) {
    std::string made(text);
    std::ranges::transform(made, made.begin(), [](char c) { return folded(c); });
    return made;
}

/// What a byte may be, a bit for each.
namespace kind {
enum : std::uint16_t {
    blank = 1,
    space = 2,
    quote = 4,
    backslash = 8,
    opening = 16,
    closing = 32,
    arrow = 64,
    word = 128,  ///< of a key: a letter in any alphabet, too
    separator = 256,
    delimiter = 512,
    prefix = 1024,  ///< before Python's quotes
    colour = 2048,  ///< of what consoles are told about them
    token = 4096    ///< of one behind "Bearer"
};
}

constexpr auto kinds = [] {
    std::array<std::uint16_t, 256> of{};
    const auto add = [&](std::string_view bytes, std::uint16_t what) {
        for (const char c : bytes) of[static_cast<unsigned char>(c)] |= what;
    };
    add(" \t", kind::blank);
    add(" \t\n\r\v\f", kind::space);
    add("\"'`", kind::quote);
    add("\\", kind::backslash);
    add("([{", kind::opening);
    add(")]}", kind::closing);
    add(">", kind::arrow);
    add("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", kind::word);
    add("=:", kind::separator);
    add(",;&", kind::delimiter);
    add("bBuUrRfF", kind::prefix);
    add("0123456789;", kind::colour);
    add("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/", kind::token);
    for (std::size_t c = 0x80; c < of.size(); ++c) of[c] = kind::word;
    return of;
}();

bool is(char c, int any_of) { return (kinds[static_cast<unsigned char>(c)] & any_of) != 0; }

}  // namespace

/// Goes through one text once.
class redactor::reader {
public:
    reader(const redactor& by, std::string_view text) : by_(by), text_(text), folded_(folded(text)) {}

    /// @return  the text as it may be shown
    std::string read() {
        for (std::size_t at = 0; at < text_.size();) {
            if (text_[at] == ':' && text_.substr(at).starts_with("://")) at = read_url(at + 3);
            else if (const auto end = end_of_key(at)) at = read_value(at, end);
            else if (const auto token = begin_of_bearer_token(at)) at = read_bearer_token(token);
            else ++at;
        }
        made_.append(text_.substr(kept_));
        return std::move(made_);
    }

private:
    void replace(std::size_t from, std::size_t to) {
        made_.append(text_.substr(kept_, from - kept_)).append(instead);
        kept_ = to;
    }
    [[nodiscard]] bool has(std::size_t at) const { return at < text_.size(); }
    [[nodiscard]] bool is_at(std::size_t at, int any_of) const { return has(at) && is(text_[at], any_of); }
    [[nodiscard]] bool is_separator(std::size_t at) const { return is_at(at, kind::separator); }
    /// Past bytes of these kinds.
    [[nodiscard]] std::size_t skip(std::size_t at, int any_of, std::size_t most = std::string_view::npos) const {
        const auto end = at + std::min(most, text_.size() - at);
        while (at < end && is(text_[at], any_of)) ++at;
        return at;
    }
    [[nodiscard]] std::size_t skip_blanks(std::size_t at) const { return skip(at, kind::blank); }
    /// Past what closes a key or a value.
    [[nodiscard]] std::size_t skip_end(std::size_t at) const {
        return skip(at, kind::quote | kind::backslash | kind::closing | kind::arrow, longest_run);
    }
    /// What consoles are told about colours.
    [[nodiscard]] std::size_t skip_colours(std::size_t at) const {
        while (text_.substr(at).starts_with("\x1b[")) {
            const auto end = skip(at + 2, kind::colour, longest_run);
            if (!has(end) || text_[end] != 'm') break;
            at = end + 1;
        }
        return at;
    }

    /// Of the word in which a key begins here; 0: none does.
    [[nodiscard]] std::size_t end_of_key(std::size_t at) const {
        if (!by_.begins_a_key_[static_cast<unsigned char>(folded_[at])]) return 0;
        std::size_t longest = 0;
        for (const auto& k : by_.keys_)
            if (k.size() > longest && folded_.compare(at, k.size(), k) == 0) longest = k.size();
        return longest == 0 ? 0 : skip(at + longest, kind::word);
    }

    /// @param begin  of the key
    /// @param end    of the word that it is in
    /// @return  where to go on
    std::size_t read_value(std::size_t begin, std::size_t end) {
        const auto closed = skip_colours(skip_end(skip_colours(end)));
        auto at = skip_blanks(closed);
        if (is_separator(at)) {
            at = skip(at, kind::separator | kind::arrow);
            at = skip_blanks(skip_colours(skip_blanks(at)));
        } else if (is_option(begin)) {  // on a command line, or in the list that one is
            const bool in_list = closed != end && has(at) && text_[at] == ',';
            if (in_list) at = skip_blanks(at + 1);
            else if (at == closed) return end;
            if (has(at) && text_[at] == '-') return end;                 // the next option
        } else if (begins_quoted(end) && has(at) && text_[at] == ',') {  // in a pair, ('Authorization', 'Basic abc')
            at = skip_blanks(at + 1);
            const auto quoted = skip(at, kind::prefix, 2);
            if (!begins_quoted(quoted)) return end;
            const auto stop = end_of_quoted(quoted);
            if (is_separator(skip_blanks(stop))) return end;  // that is the next key
            replace(at, stop);
            return stop;
        } else if (is_tag(begin, end)) {  // <password>abc</password>
            const auto stop = std::min(text_.find('<', end), text_.size());
            if (stop != end + 1) replace(end + 1, stop);
            return stop;
        } else {
            return end;
        }
        const bool is_header = closed == end && is_about_http(begin, end);
        const auto stop = is_header ? end_of_line(at) : end_of_value(at);
        if (stop != at) replace(at, stop);
        return stop;
    }

    /// Behind a word that says so, whatever stands before that: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
    /// @return  0: none does
    [[nodiscard]] std::size_t begin_of_bearer_token(std::size_t at) const {
        constexpr std::string_view scheme = "bearer";
        if (folded_[at] != scheme[0] || folded_.compare(at, scheme.size(), scheme) != 0) return 0;
        const auto end = at + scheme.size();
        const bool is_word = (at == 0 || !is(text_[at - 1], kind::word)) && is_at(end, kind::blank);
        return is_word ? skip_blanks(end) : 0;
    }
    /// @return  where to go on: a word that is no token may be a key
    std::size_t read_bearer_token(std::size_t at) {
        constexpr std::size_t shortest = 16;  // "the bearer of bad news" has none
        const auto end = skip(at, kind::token);
        if (end - at < shortest) return at;
        replace(at, end);
        auto word = end;  // "bearer for-the-access-token: abc" has a key
        while (word > at && is(text_[word - 1], kind::word)) --word;
        for (; word < end; ++word)
            if (const auto key = end_of_key(word)) return read_value(word, key);
        return end;
    }

    /// An element's in XML.
    [[nodiscard]] bool is_tag(std::size_t begin, std::size_t end) const {
        while (begin > 0 && is(text_[begin - 1], kind::word)) --begin;
        return begin > 0 && text_[begin - 1] == '<' && has(end) && text_[end] == '>';
    }
    [[nodiscard]] bool is_option(std::size_t at) const {
        while (at > 0 && is(text_[at - 1], kind::word)) --at;
        return text_[at] == '-';
    }
    [[nodiscard]] bool is_about_http(std::size_t begin, std::size_t end) const {
        const auto word = std::string_view(folded_).substr(begin, end - begin);
        return word.find("authorization") != word.npos || word.find("cookie") != word.npos;
    }
    [[nodiscard]] std::size_t end_of_line(std::size_t at) const {
        return std::min(text_.find_first_of("\r\n", at), text_.size());
    }

    [[nodiscard]] std::size_t end_of_value(std::size_t at) const {
        enum { begins, follows, within } part = begins;
        while (has(at)) {
            if (is(text_[at], kind::blank)) {  // "token: password: abc" has one value
                const auto next = skip_blanks(at);
                if (!is_separator(at - 1) && !is_separator(next)) break;
                at = next;
                part = begins;
                continue;
            }
            if (part != begins && ends_value(at)) break;
            if (const auto end = part == within ? at : end_of_part(at); end != at) {
                at = end;
                part = follows;
            } else if (ends_value(at)) {
                break;
            } else if (is_separator(at)) {
                at = skip(at, kind::separator | kind::arrow);
                part = begins;
            } else {
                ++at;
                part = within;
            }
        }
        return at;
    }
    /// Of what goes on beyond white space; the same when nothing of the kind begins here.
    [[nodiscard]] std::size_t end_of_part(std::size_t at) const {
        const auto letters = skip(at, kind::prefix, 2);  // b'', as Python prints bytes
        if (begins_quoted(letters)) return end_of_quoted(letters);
        if (is(text_[at], kind::opening)) return end_of_bracket(at);
        for (const std::string_view scheme : {"bearer", "basic", "digest", "negotiate", "token", "apikey"}) {
            const auto end = at + scheme.size();
            if (folded_.compare(at, scheme.size(), scheme) == 0 && is_at(end, kind::blank)) return skip_blanks(end);
        }
        if (const auto end = skip(at, kind::word); text_[at] == '-' && is_at(end, kind::blank)) return skip_blanks(end);
        return is_key(at) && is_about_http(at, skip(at, kind::word)) ? end_of_line(at) : at;
    }

    /// Whether a value that is not in quotes is over here. Depends on nothing before it, so that what has been
    /// replaced ends where it did.
    [[nodiscard]] bool ends_value(std::size_t at) const {
        at = skip_end(at);
        if (!has(at) || is(text_[at], kind::space)) return true;
        if (!is(text_[at], kind::delimiter)) return false;
        ++at;
        return !has(at) || is(text_[at], kind::space) || is_key(at);
    }
    [[nodiscard]] bool is_key(std::size_t at) const {
        const auto begin = skip(at, kind::quote | kind::backslash | kind::opening, longest_run);
        const auto end = skip(begin, kind::word);
        return end != begin && is_separator(skip_blanks(skip(end, kind::quote | kind::backslash, longest_run)));
    }

    /// JSON in JSON has backslashes before its quotes.
    [[nodiscard]] bool begins_quoted(std::size_t at) const {
        return is_at(skip(at, kind::backslash, longest_run), kind::quote);
    }
    /// @return  the end of the text when the quotes are not closed
    [[nodiscard]] std::size_t end_of_quoted(std::size_t at) const {
        const auto open = skip(at, kind::backslash, longest_run);
        const auto depth = open - at;  // 0, or 1 for JSON in JSON, 3 for JSON in that
        for (auto i = open + 1; has(i); ++i) {
            const auto quote = skip(i, kind::backslash);
            if (!has(quote)) break;
            const auto before = quote - i;
            i = quote;
            if (text_[quote] == text_[open] && (before < depth || before % (2 * (depth + 1)) == depth))
                return quote + 1;
        }
        return text_.size();
    }
    /// @return  the end of the text when it is not closed
    [[nodiscard]] std::size_t end_of_bracket(std::size_t at) const {
        for (std::size_t depth = 0; has(at);) {
            if (begins_quoted(at)) {
                at = end_of_quoted(at);
                continue;
            }
            if (is(text_[at], kind::opening)) ++depth;
            else if (is(text_[at], kind::closing)) --depth;
            ++at;
            if (depth == 0) return at;
        }
        return text_.size();
    }

    /// @param at  where the host stands, or who asks it
    /// @return  where to go on
    std::size_t read_url(std::size_t at) {
        const auto end = std::min(text_.find_first_of("/?#\\<>\"'` \t\r\n", at), text_.size());
        const auto who = text_.substr(at, end - at);
        const auto length = who.rfind('@');
        if (length == who.npos || length == 0) return at;
        const auto name = who.substr(0, length).find(':');
        const bool is_web = folded_.compare(at < 8 ? 0 : at - 8, 8, "https://") == 0 ||
                            folded_.compare(at < 7 ? 0 : at - 7, 7, "http://") == 0;
        if (name == who.npos && !is_web) return at;  // of a user
        const auto from = name == who.npos ? at : at + name + 1;
        if (from != at + length) replace(from, at + length);
        return at + length;
    }

    const redactor& by_;
    const std::string_view text_;
    const std::string folded_;
    std::string made_;
    std::size_t kept_ = 0;  // until there it is in made_
};

redactor::redactor(const std::vector<std::string>& keys) {
    for (const auto& k : keys) {
        if (k.empty()) continue;
        keys_.push_back(folded(k));
        begins_a_key_[static_cast<unsigned char>(keys_.back()[0])] = true;
    }
}

bool redactor::is_secret(std::string_view key) const {
    const auto name = folded(key);
    return std::ranges::any_of(keys_, [&](const std::string& k) { return name.find(k) != name.npos; });
}

std::vector<std::pair<std::string, std::string>> redactor::fields(
    std::vector<std::pair<std::string, std::string>> all) const {
    for (auto& [key, value] : all) value = is_secret(key) ? std::string(instead) : text(std::move(value));
    return all;
}

std::string redactor::text(std::string line) const {
    bool in_private_key = false;
    return text(std::move(line), in_private_key);
}

std::string redactor::text(std::string line, bool& in_private_key) const {
    if (keys_.empty()) return line;
    line = without_private_keys(line, in_private_key);
    return reader(*this, line).read();
}

void redactor::follow(std::string_view text, bool& in_private_key) const {
    if (keys_.empty() || (!in_private_key && text.find(key_begin) == text.npos)) return;
    (void)without_private_keys(text, in_private_key);
}

}  // namespace snakepit::detail
