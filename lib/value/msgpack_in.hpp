#pragma once
// MessagePack taken apart into tokens, without copying and without believing any length.
//
// nlohmann's own reader appends text and bytes one by one: 40 times slower for a megabyte of bytes, and several times
// slower for small values.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace snakepit::detail {

/// One token: a scalar, text or bytes as a whole, or the head of a list or map.
struct msgpack_token {
    enum class kind : std::uint8_t {
        nil,
        boolean,
        integer,  ///< negative, or from a signed form
        unsigned_integer,
        real,
        text,
        bytes,
        ext,
        list,       ///< `count` values follow
        map,        ///< `count` keys and values follow in turn
        truncated,  ///< the input ends before the token does
        invalid     ///< the one byte that MessagePack never uses
    };
    kind is;
    std::int8_t ext_code = 0;
    union {
        bool boolean;
        std::int64_t integer;
        std::uint64_t unsigned_integer;
        double real;
        std::size_t count;
    };
    std::string_view data = {};  ///< of text, bytes and ext; points into the input
};

class msgpack_tokens {
public:
    explicit msgpack_tokens(std::string_view input) noexcept
        : at_(reinterpret_cast<const std::uint8_t*>(input.data())), left_(input.size()) {}

    [[nodiscard]] std::size_t left() const noexcept { return left_; }

    [[nodiscard]] msgpack_token next() noexcept {
        if (left_ == 0) return plain(kind::truncated);
        const std::uint8_t tag = *at_;
        skip(1);
        if (tag < 0x80) return unsigned_integer(tag);
        if (tag < 0x90) return counted(kind::map, tag & 0x0FU);
        if (tag < 0xA0) return counted(kind::list, tag & 0x0FU);
        if (tag < 0xC0) return data(kind::text, tag & 0x1FU);
        if (tag >= 0xE0) return integer(static_cast<std::int8_t>(tag));
        switch (tag) {
            case 0xC0: return plain(kind::nil);
            case 0xC2:
            case 0xC3: return boolean(tag == 0xC3);
            case 0xC4: return sized<std::uint8_t>(kind::bytes);
            case 0xC5: return sized<std::uint16_t>(kind::bytes);
            case 0xC6: return sized<std::uint32_t>(kind::bytes);
            case 0xC7: return sized<std::uint8_t>(kind::ext);
            case 0xC8: return sized<std::uint16_t>(kind::ext);
            case 0xC9: return sized<std::uint32_t>(kind::ext);
            case 0xCA: return real<float, std::uint32_t>();
            case 0xCB: return real<double, std::uint64_t>();
            case 0xCC: return number<std::uint8_t>();
            case 0xCD: return number<std::uint16_t>();
            case 0xCE: return number<std::uint32_t>();
            case 0xCF: return number<std::uint64_t>();
            case 0xD0: return signed_number<std::uint8_t, std::int8_t>();
            case 0xD1: return signed_number<std::uint16_t, std::int16_t>();
            case 0xD2: return signed_number<std::uint32_t, std::int32_t>();
            case 0xD3: return signed_number<std::uint64_t, std::int64_t>();
            case 0xD4: return data(kind::ext, 1);
            case 0xD5: return data(kind::ext, 2);
            case 0xD6: return data(kind::ext, 4);
            case 0xD7: return data(kind::ext, 8);
            case 0xD8: return data(kind::ext, 16);
            case 0xD9: return sized<std::uint8_t>(kind::text);
            case 0xDA: return sized<std::uint16_t>(kind::text);
            case 0xDB: return sized<std::uint32_t>(kind::text);
            case 0xDC: return sized<std::uint16_t>(kind::list);
            case 0xDD: return sized<std::uint32_t>(kind::list);
            case 0xDE: return sized<std::uint16_t>(kind::map);
            case 0xDF: return sized<std::uint32_t>(kind::map);
            default: return plain(kind::invalid);
        }
    }

private:
    using kind = msgpack_token::kind;

    static msgpack_token plain(kind is) noexcept { return {.is = is, .count = 0}; }
    static msgpack_token boolean(bool b) noexcept { return {.is = kind::boolean, .boolean = b}; }
    static msgpack_token integer(std::int64_t n) noexcept { return {.is = kind::integer, .integer = n}; }
    static msgpack_token unsigned_integer(std::uint64_t n) noexcept {
        return {.is = kind::unsigned_integer, .unsigned_integer = n};
    }
    static msgpack_token counted(kind is, std::size_t count) noexcept { return {.is = is, .count = count}; }

    void skip(std::size_t n) noexcept {
        at_ += n;
        left_ -= n;
    }

    /// A big-endian number, of which all bytes are there.
    template <class Number>
    Number take() noexcept {
        Number n = 0;
        for (std::size_t i = 0; i < sizeof(Number); ++i) n = static_cast<Number>((std::uint64_t{n} << 8) | at_[i]);
        skip(sizeof(Number));
        return n;
    }

    template <class Number>
    msgpack_token number() noexcept {
        return left_ < sizeof(Number) ? plain(kind::truncated) : unsigned_integer(take<Number>());
    }

    template <class Number, class Signed>
    msgpack_token signed_number() noexcept {
        return left_ < sizeof(Number) ? plain(kind::truncated) : integer(static_cast<Signed>(take<Number>()));
    }

    template <class Real, class Bits>
    msgpack_token real() noexcept {
        if (left_ < sizeof(Bits)) return plain(kind::truncated);
        const Bits bits = take<Bits>();
        Real r;
        std::memcpy(&r, &bits, sizeof r);
        return {.is = kind::real, .real = r};
    }

    template <class Length>
    msgpack_token sized(kind is) noexcept {
        if (left_ < sizeof(Length)) return plain(kind::truncated);
        const std::size_t length = take<Length>();
        return is == kind::list || is == kind::map ? counted(is, length) : data(is, length);
    }

    msgpack_token data(kind is, std::size_t size) noexcept {
        msgpack_token token = plain(is);
        if (is == kind::ext) {
            if (left_ == 0) return plain(kind::truncated);
            token.ext_code = static_cast<std::int8_t>(*at_);
            skip(1);
        }
        if (left_ < size) return plain(kind::truncated);
        token.data = {reinterpret_cast<const char*>(at_), size};
        skip(size);
        return token;
    }

    const std::uint8_t* at_;
    std::size_t left_;
};

}  // namespace snakepit::detail
