#include "value/json_text.hpp"

#include "value/codec.hpp"
#include "value/json_tags.hpp"
#include "value/utf8.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <vector>

namespace snakepit::detail {
namespace {

/// Where nlohmann's parser is: it copies its iterators, so they report to a place outside.
class reporting_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    reporting_iterator(const char* at, const char** report) : at_(at), report_(report) {}
    reference operator*() const { return *at_; }
    reporting_iterator& operator++() {
        *report_ = ++at_;
        return *this;
    }
    friend bool operator==(const reporting_iterator& a, const reporting_iterator& b) { return a.at_ == b.at_; }

private:
    const char* at_;
    const char** report_;
};

std::string line_and_column(std::string_view text, std::size_t offset) {
    const auto before = text.substr(0, offset);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const auto begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    // In characters, not bytes: continuation bytes do not count.
    const auto column = std::count_if(before.begin() + static_cast<std::ptrdiff_t>(begin), before.end(),
                                      [](char c) { return (c & 0xC0) != 0x80; }) +
                        1;
    return fmt::format("line {}, column {}", line, column);
}

/// nlohmann's message without its number and its own idea of the position; it may quote bytes that are not UTF-8.
std::string reason_of(const nlohmann::json::exception& e) {
    std::string_view text = e.what();
    if (const auto at = text.find("] "); at != std::string_view::npos) text.remove_prefix(at + 2);
    if (const auto at = text.find(": "); text.starts_with("parse error") && at != std::string_view::npos)
        text.remove_prefix(at + 2);
    std::string reason(text);
    if (!is_utf8(reason)) std::replace_if(reason.begin(), reason.end(), [](char c) { return (c & 0x80) != 0; }, '?');
    return reason;
}

/// Builds the value from the events of nlohmann's parser, which does not recurse.
class builder final : public nlohmann::json_sax<value> {
public:
    explicit builder(std::string_view text) : text_(text), at_(text.data()) {}

    result<value> build() {
        const char* end = text_.data() + text_.size();
        // nlohmann takes a zero byte for the end.
        if (const auto zero = text_.find('\0'); zero != std::string_view::npos) refuse(zero, "a zero byte");
        else value::sax_parse(reporting_iterator(at_, &at_), reporting_iterator(end, &at_), this);
        if (!mistake_ && too_deep_) refuse(*too_deep_, fmt::format("nested more than {} deep", max_depth));
        if (mistake_) return tl::unexpected(error(errc::bad_arguments, *mistake_));
        return std::move(root_);
    }

    bool null() override { return put(nullptr); }
    bool boolean(bool b) override { return put(b); }
    bool number_integer(std::int64_t n) override { return put(n); }
    bool number_unsigned(std::uint64_t n) override { return put(n); }
    bool number_float(double d, const std::string& token) override {
        // An integer that fits nowhere comes as a double.
        if (token.find_first_of(".eE") == std::string::npos)
            return refuse(begin_of(token), "an integer of more than 64 bits");
        return put(d);
    }
    bool string(std::string& text) override { return put(std::move(text)); }
    bool binary(value::binary_t& bytes) override { return put(std::move(bytes)); }
    bool start_object(std::size_t) override { return open(value::value_t::object); }
    bool start_array(std::size_t) override { return open(value::value_t::array); }
    bool key(std::string& name) override {
        member_ = &(*open_.back().node)[name];
        return true;
    }
    bool end_array() override {
        open_.pop_back();
        return true;
    }
    bool end_object() override {
        const container closed = open_.back();
        open_.pop_back();
        // What was too deep inside a tag is gone with it.
        const auto was_tag = replace_tag(*closed.node);
        if (!was_tag) return refuse(closed.begin, was_tag.error().message());
        if (*was_tag && too_deep_ && *too_deep_ >= closed.begin) too_deep_.reset();
        return true;
    }
    bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception& e) override {
        const bool is_number = e.id == 406;
        return refuse(is_number ? begin_of(token) : std::min(position - 1, text_.size()), reason_of(e));
    }

private:
    struct container {
        value* node;
        std::size_t begin;  // offset of its bracket
    };

    [[nodiscard]] std::size_t offset() const { return static_cast<std::size_t>(at_ - text_.data()); }
    /// The parser has read the token, and mostly one character more.
    [[nodiscard]] std::size_t begin_of(const std::string& token) const {
        return text_.rfind(token, offset() - token.size());
    }

    value& slot() {
        if (open_.empty()) return root_;
        value& parent = *open_.back().node;
        return parent.is_array() ? parent.get_ptr<value::array_t*>()->emplace_back() : *member_;
    }
    template <class T>
    bool put(T&& item) {
        slot() = std::forward<T>(item);
        return true;
    }
    bool open(value::value_t type) {
        // Tags take levels that their values do not have: what is too deep is known when all of them are replaced.
        const std::size_t begin = offset() - 1;
        if (open_.size() >= max_depth && !too_deep_) too_deep_ = begin;
        if (open_.size() / 2 >= max_depth) return false;
        value& node = slot();
        node = value(type);
        open_.push_back({&node, begin});
        return true;
    }
    bool refuse(std::size_t where, std::string_view why) {
        mistake_ = fmt::format("{}: {}", line_and_column(text_, where), why);
        return false;
    }

    const std::string_view text_;
    const char* at_;
    value root_;
    std::vector<container> open_;
    value* member_ = nullptr;
    std::optional<std::size_t> too_deep_;
    std::optional<std::string> mistake_;
};

}  // namespace

result<std::string> to_json_text(const value& v, int indent) {
    if (const auto* word = find_lookalike(v))
        return tl::unexpected(
            error(errc::unserializable,
                  fmt::format("a map that looks like \"{}\" of the JSON form cannot be written", *word)));
    return with_tags(v).dump(indent, ' ', false, value::error_handler_t::replace);
}

result<value> from_json_text(std::string_view text) { return builder(text).build(); }

}  // namespace snakepit::detail
