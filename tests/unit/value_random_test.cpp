// Random values there and back, and random damage to their bytes. SNAKEPIT_TEST_SEED repeats a run.

#include "value/codec.hpp"
#include "value/json_text.hpp"

#include <gtest/gtest.h>

#include <snakepit/array.hpp>

#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <random>
#include <string>

namespace snakepit::detail {
namespace {

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

class random_values {
public:
    explicit random_values(std::uint64_t seed) : engine_(seed) {}

    std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine_); }

    value make(int depth = 0) {
        switch (below(depth < 6 ? 11 : 8)) {
            case 0: return nullptr;
            case 1: return below(2) == 0;
            case 2: return bits();
            case 3: return static_cast<std::int64_t>(bits());
            case 4: return std::bit_cast<double>(engine_());
            case 5: return text();
            case 6: return bytes(raw());
            case 7: return make_array();
            case 8:
            case 9: {
                value list = value::array();
                for (std::size_t n = below(6); n != 0; --n) list.push_back(make(depth + 1));
                return list;
            }
            default: {
                value map = value::object();
                for (std::size_t n = below(6); n != 0; --n) map[text()] = make(depth + 1);
                return map;
            }
        }
    }

    void damage(std::string& bytes) {
        for (std::size_t n = 1 + below(4); n != 0 && !bytes.empty(); --n) {
            const std::size_t at = below(bytes.size());
            switch (below(4)) {
                case 0: bytes[at] = static_cast<char>(below(256)); break;
                case 1: bytes.erase(at, 1 + below(8)); break;
                case 2: bytes.insert(at, 1, static_cast<char>(below(256))); break;
                default: bytes.insert(at, bytes.substr(below(bytes.size()), below(16))); break;
            }
        }
    }

private:
    /// All widths are equally likely.
    std::uint64_t bits() { return engine_() >> below(64); }

    std::string text() {
        static constexpr const char* characters[] = {
            "a", "Z", "0", "\"", "\\", "\n", "ä", "世", "\xF0\x9F\x90\x8D", "$float", "\x7F"};
        std::string made;
        for (std::size_t n = below(below(10) == 0 ? 300 : 8); n != 0; --n)
            made += characters[below(std::size(characters))];
        return made;
    }

    std::vector<std::uint8_t> raw() {
        std::vector<std::uint8_t> made(below(below(10) == 0 ? 300 : 20));
        for (auto& byte : made) byte = static_cast<std::uint8_t>(engine_());
        return made;
    }

    value make_array() {
        static constexpr const char* dtypes[] = {
            "|u1", "<i2", "<f8", "<c16", "|S3", "<M8[ns]", R"([["x","<f4"],["y","|u1",[2]]])"};
        const std::string dtype = dtypes[below(std::size(dtypes))];
        std::vector<std::size_t> shape(below(4));
        std::size_t count = 1;
        for (auto& size : shape) count *= size = below(4);
        const auto item_size = array::from_bytes(dtype, {0}, {})->item_size();
        std::vector<std::byte> data(count * item_size);
        for (auto& byte : data) byte = static_cast<std::byte>(engine_());
        return *array::from_bytes(dtype, shape, data);
    }

    std::mt19937_64 engine_;
};

/// Equality in which a NaN equals a NaN, and numbers are of one kind.
bool are_same(const value& a, const value& b) {
    if (a.is_number_float() && b.is_number_float()) {
        const auto x = a.get<double>();
        const auto y = b.get<double>();
        return std::isnan(x) ? std::isnan(y) : std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
    }
    if (a.is_number_integer() != b.is_number_integer() || a.size() != b.size()) return false;
    if (a.is_array() && b.is_array()) return std::equal(a.begin(), a.end(), b.begin(), are_same);
    if (a.is_object() && b.is_object()) {
        return std::equal(a.items().begin(), a.items().end(), b.items().begin(), [](const auto& x, const auto& y) {
            return x.key() == y.key() && are_same(x.value(), y.value());
        });
    }
    return a == b;
}

class ValueRandom : public ::testing::Test {
protected:
    static std::uint64_t seed() {
        static const std::uint64_t chosen = [] {
            const char* wanted = std::getenv("SNAKEPIT_TEST_SEED");
            const auto n = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : std::random_device()();
            std::cout << "SNAKEPIT_TEST_SEED=" << n << std::endl;
            return n;
        }();
        return chosen;
    }
    random_values random{seed()};
};

TEST_F(ValueRandom, ValuesSurviveMessagePack) {
    for (int i = 0; i < 10'000; ++i) {
        const value v = random.make();
        const auto there = encode(v, "args", no_limit);
        ASSERT_TRUE(there) << there.error();
        const auto back = decode(*there, "result");
        ASSERT_TRUE(back) << back.error();
        ASSERT_TRUE(are_same(v, *back)) << *to_json_text(v) << "\n" << *to_json_text(*back);
    }
}

TEST_F(ValueRandom, ValuesSurviveJsonText) {
    for (int i = 0; i < 5'000; ++i) {
        const value v = random.make();
        const auto back = from_json_text(*to_json_text(v, i % 3 - 1));
        ASSERT_TRUE(back) << back.error();
        ASSERT_TRUE(are_same(v, *back)) << *to_json_text(v) << "\n" << *to_json_text(*back);
    }
}

TEST_F(ValueRandom, DamagedBytesAreRefusedOrAreAValue) {
    for (int i = 0; i < 30'000; ++i) {
        auto bytes = *encode(random.make(), "args", no_limit);
        random.damage(bytes);
        // A copy of exactly this size, so that AddressSanitizer sees a read behind it.
        const std::vector<char> exact(bytes.begin(), bytes.end());
        const auto v = decode({exact.data(), exact.size()}, "result");
        if (!v) {
            ASSERT_EQ(v.error(), errc::unserializable);
            continue;
        }
        const auto again = encode(*v, "args", no_limit);
        ASSERT_TRUE(again) << again.error();
        ASSERT_TRUE(are_same(*decode(*again, "result"), *v));
    }
}

TEST_F(ValueRandom, DamagedJsonTextIsRefusedOrIsAValue) {
    for (int i = 0; i < 10'000; ++i) {
        auto text = *to_json_text(random.make());
        random.damage(text);
        const auto v = from_json_text(text);
        if (v) ASSERT_TRUE(encode(*v, "args", no_limit));
        else ASSERT_EQ(v.error(), errc::bad_arguments);
    }
}

TEST_F(ValueRandom, NoiseIsRefusedOrIsAValue) {
    for (int i = 0; i < 50'000; ++i) {
        std::vector<char> noise(random.below(40));
        for (auto& byte : noise) byte = static_cast<char>(random.below(256));
        const auto v = decode({noise.data(), noise.size()}, "result");
        ASSERT_TRUE(v || v.error() == errc::unserializable);
    }
}

}  // namespace
}  // namespace snakepit::detail
