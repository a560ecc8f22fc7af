// Values through a real worker, both ways.

#include "support/pool_fixture.hpp"

#include <cmath>
#include <limits>

namespace snakepit::test {
namespace {

class Values : public LaneTest {
protected:
    [[nodiscard]] pool_options one_worker() const {
        auto o = options("shapes");
        o.workers.min = 1;
        return o;
    }
    static value nested(int levels) {
        value v = 1;
        for (int i = 0; i < levels; ++i) v = value::array({std::move(v)});
        return v;
    }
    /// nlohmann frees deep values without recursion, but compares them with it.
    static int depth(const value& v) {
        int n = 0;
        for (const value* at = &v; at->is_array(); at = &at->front()) ++n;
        return n;
    }
};
INSTANTIATE_LANES(Values);

TEST_P(Values, ComeBackAsTheyWent) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto big = std::numeric_limits<std::int64_t>::max();
        const auto least = std::numeric_limits<std::int64_t>::min();
        const auto most = std::numeric_limits<std::uint64_t>::max();
        const std::vector<value> all = {nullptr,
                                        true,
                                        false,
                                        0,
                                        1,
                                        -1,
                                        127,
                                        128,
                                        -32,
                                        -33,
                                        -128,
                                        -129,
                                        255,
                                        256,
                                        65535,
                                        65536,
                                        big,
                                        least,
                                        most,
                                        std::uint64_t{big} + 1,
                                        0.0,
                                        1.0,
                                        -1.5,
                                        1e308,
                                        5e-324,
                                        2.2250738585072009e-308,
                                        "",
                                        "a",
                                        "äöü€",
                                        "\xF0\x9F\x90\x8D",
                                        std::string("a\0b", 3),
                                        std::string("\0", 1),
                                        std::string(31, 'x'),
                                        std::string(32, 'x'),
                                        std::string(255, 'x'),
                                        std::string(256, 'x'),
                                        std::string(65535, 'x'),
                                        std::string(65536, 'x'),
                                        bytes({}),
                                        bytes({0}),
                                        bytes({0, 255, 128}),
                                        bytes(std::vector<std::uint8_t>(65536, 7)),
                                        value::array(),
                                        value::object(),
                                        {1, {2, {3, {{"k", {}}}}}},
                                        {{"", 1}, {"ключ", {nullptr, true}}, {std::string("n\0l", 3), 2}},
                                        value::array({value::array(), value::object()})};
        for (const auto& v : all) {
            const auto back = co_await p.execute("echo", args("value", v));
            CO_ASSERT_OK(back);
            EXPECT_EQ(*back, v);
            EXPECT_EQ(back->type() == value::value_t::number_float, v.is_number_float()) << v;
            EXPECT_EQ(back->is_binary(), v.is_binary());
            EXPECT_EQ(back->is_number_integer(), v.is_number_integer());
        }
        const value whole = all;
        const auto back = co_await p.execute("echo", args("value", whole));
        CO_ASSERT_OK(back);
        EXPECT_EQ(*back, whole);
    });
}

TEST_P(Values, DoublesKeepTheirBits) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const double inf = std::numeric_limits<double>::infinity();
        for (const double d :
             {inf, -inf, 5e-324, -0.0, 0.1, std::nextafter(1.0, 2.0), std::numeric_limits<double>::max()}) {
            const auto back = co_await p.execute("echo", d);
            CO_ASSERT_OK(back);
            CO_ASSERT(back->is_number_float());
            EXPECT_EQ(std::bit_cast<std::uint64_t>(back->get<double>()), std::bit_cast<std::uint64_t>(d)) << d;
        }
        const auto nan = co_await p.execute("echo", std::nan(""));
        EXPECT_TRUE(nan && nan->is_number_float() && std::isnan(nan->get<double>()));
        const auto odd = co_await p.execute("odd", "nan");
        CO_ASSERT_OK(odd);
        EXPECT_TRUE(std::isnan((*odd)[0].get<double>()));
        EXPECT_EQ((*odd)[1].get<double>(), inf);
        EXPECT_TRUE(std::signbit((*odd)[4].get<double>()));
    });
}

TEST_P(Values, PythonSeesTheRightTypes) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        EXPECT_EQ((co_await p.call<value>("describe", true)), list("bool", "True"));
        EXPECT_EQ((co_await p.call<value>("describe", 1)), list("int", "1"));
        EXPECT_EQ((co_await p.call<value>("describe", 1.0)), list("float", "1.0"));
        EXPECT_EQ((co_await p.call<value>("describe", nullptr)), list("NoneType", "None"));
        EXPECT_EQ((co_await p.call<value>("describe", byte_list(1, 2))), list("bytes", "b'\\x01\\x02'"));
        EXPECT_EQ((co_await p.call<value>("describe", std::numeric_limits<std::uint64_t>::max())),
                  list("int", "18446744073709551615"));
        EXPECT_EQ((co_await p.call<value>("describe", list(1, "x"))), list("list", "[1, 'x']"));
        EXPECT_EQ((co_await p.call<value>("describe", args("a", 1))), list("dict", "{'a': 1}"));
    });
}

TEST_P(Values, DepthIsLimitedBothWaysAndTheWorkerSurvives) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto first = p.stats().workers[0].pid;
        EXPECT_EQ((co_await p.call<int>("depth", nested(400))), 400);
        for (const int levels : {501, 10'000, 100'000}) {
            // Moved in all along: nlohmann's copy is recursive, and would need a deep stack for these.
            const auto refused = co_await p.execute("depth", args("value", nested(levels)));
            EXPECT_TRUE(
                failed_saying(refused, errc::unserializable, "args[\"value\"][0]", "nested more than 500 deep"));
            EXPECT_TRUE(failed_with(co_await p.execute("echo", nested(levels)), errc::unserializable));
        }
        for (const auto* kind : {"deep_501", "deep_10000", "deep_100000"})
            EXPECT_TRUE(failed_saying(co_await p.execute("odd", kind), errc::unserializable, "result[0][0]",
                                      "nested more than 500 deep"));
        EXPECT_TRUE(failed_saying(co_await p.execute("odd", "deep_501_maps"), errc::unserializable, "result[\"k\"]",
                                  "nested more than 500 deep"));
        const auto ok = co_await p.execute("odd", "deep_400");
        CO_ASSERT_OK(ok);
        EXPECT_EQ(depth(*ok), 400);
        const auto most = co_await p.execute("odd", "deep_500");
        CO_ASSERT_OK(most);
        EXPECT_EQ(depth(*most), 500);
        EXPECT_EQ(p.stats().workers[0].pid, first);
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_P(Values, ArgumentsThatCannotTravelNameThePath) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const std::string bad("\xC3\x28", 2);
        EXPECT_TRUE(failed_saying(co_await p.execute("echo", args("value", list(1, args("x", bad)))),
                                  errc::unserializable, "args[\"value\"][1][\"x\"]", "UTF-8"));
        EXPECT_TRUE(failed_saying(co_await p.execute("echo", list(bad)), errc::unserializable, "args[0]", "UTF-8"));
        EXPECT_TRUE(failed_with(co_await p.execute("echo", args(bad, 1)), errc::unserializable));
        EXPECT_TRUE(failed_with(co_await p.execute("echo", args("value", value(value::value_t::discarded))),
                                errc::unserializable));
        const value unknown_subtype = value::binary({1}, 99);
        const value no_array = value::binary({1, 2, 3}, 1);
        EXPECT_TRUE(failed_with(co_await p.execute("echo", args("value", unknown_subtype)), errc::unserializable));
        EXPECT_TRUE(failed_with(co_await p.execute("echo", args("value", no_array)), errc::unserializable))
            << "bytes that pretend to be an array";
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1, call_options().session(bad)), errc::invalid_name));
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1, call_options().session(std::string(201, 'x'))),
                                errc::invalid_name));
        EXPECT_OK(co_await p.execute("echo", 1, call_options().session(std::string(200, 'x'))));
        const auto e = co_await p.execute("echo", list(bad));
        EXPECT_TRUE(!e && e.error().tool() == "echo");
    });
}

TEST_P(Values, ResultsThatCannotTravelNameThePathAndTheWorkerServesOn) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto first = p.stats().workers[0].pid;
        const std::vector<std::pair<std::string, std::vector<std::string>>> refused = {
            {"datetime", {"result[\"rows\"][3][\"when\"]: datetime.datetime"}},
            {"date", {"result: datetime.date"}},
            {"timedelta", {"result[0]: datetime.timedelta"}},
            {"decimal", {"result[\"price\"]: decimal.Decimal"}},
            {"set", {"result[1]: set"}},
            {"frozenset", {"result: frozenset"}},
            {"dataclass", {"result[0].when: datetime.datetime"}},
            {"frame", {"result[\"table\"]: pandas.core.frame.DataFrame", ".to_dict()"}},
            {"object", {"result: object"}},
            {"function", {"result: builtin_function_or_method"}},
            {"class", {"result: type"}},
            {"module", {"result: module"}},
            {"generator", {"result: generator"}},
            {"range", {"result: range"}},
            {"complex", {"result: complex"}},
            {"int_key", {"result", "key", "int"}},
            {"none_key", {"result[\"ok\"]", "key", "NoneType"}},
            {"bytes_key", {"result", "key", "bytes"}},
            {"big_int", {"result[\"n\"]", "65 bits"}},
            {"small_int", {"result", "64 bits"}},
            {"surrogate", {"result[0]", "surrogate"}},
            {"surrogate_key", {"result", "surrogate"}},
            {"cycle", {"contains itself"}},
            {"object_array", {"result[0]", "object"}},
            {"masked_array", {"result", "masked"}},
            {"numpy_datetime", {"result[\"t\"]", "datetime64"}},
        };
        for (const auto& [kind, words] : refused) {
            const auto r = co_await p.execute("odd", kind);
            EXPECT_TRUE(failed_with(r, errc::unserializable)) << kind;
            if (r) continue;
            for (const auto& w : words)
                EXPECT_NE(r.error().message().find(w), std::string::npos) << kind << ": " << r.error();
        }
        const auto nasty = co_await p.execute("odd", "nasty");
        EXPECT_TRUE(!nasty && (nasty.error() == errc::unserializable || nasty.error() == errc::tool_raised))
            << nasty.error();
        EXPECT_EQ((co_await p.call<int>("size", list(1, 2))), 2);
        EXPECT_EQ(p.stats().workers[0].pid, first);
    });
}

TEST_P(Values, ResultsThatArriveAsSomethingPlainer) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        EXPECT_EQ(co_await p.execute("odd", "tuple"), list(1, list(2, "x"), list()));
        EXPECT_EQ(co_await p.execute("odd", "namedtuple"), list(1, 2));
        EXPECT_EQ(co_await p.execute("odd", "ordered"), args("a", 2, "b", 1));
        EXPECT_EQ(co_await p.execute("odd", "defaultdict"), args("a", 1));
        EXPECT_EQ(co_await p.execute("odd", "bytearray"), byte_list(0, 255));
        EXPECT_EQ(co_await p.execute("odd", "memoryview"), byte_list(0, 255));
        EXPECT_EQ(co_await p.execute("odd", "bool"), true);
        EXPECT_EQ(co_await p.execute("odd", "int_enum"), 1);
        const auto scalars = co_await p.execute("odd", "numpy_scalars");
        CO_ASSERT_OK(scalars);
        EXPECT_EQ(*scalars, list(-5, std::numeric_limits<std::uint64_t>::max(), 0.5, true, 1));
    });
}

TEST_P(Values, ArraysOfEveryDtypeComeBack) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const std::vector<const char*> dtypes = {"|b1",     "|i1",    "|u1",     "<i2", "<u2", "<i4", "<u4",
                                                 "<i8",     "<u8",    "<f2",     "<f4", "<f8", "<c8", "<c16",
                                                 "<M8[ns]", "<M8[D]", "<m8[us]", "|S5", "<U3", "|V7"};
        for (const auto* dtype : dtypes) {
            for (const std::vector<std::size_t>& shape : {std::vector<std::size_t>{}, {0}, {3}, {2, 0, 2}, {2, 3}}) {
                auto made = array::from_bytes(dtype, shape, {});
                std::size_t items = 1;
                for (const auto n : shape) items *= n;
                std::vector<std::byte> raw;
                if (!made) {  // not empty: now the size of an item is known from the refusal's other side
                    for (std::size_t size = 1; size <= 64 && !made; ++size) {
                        raw.assign(items * size, std::byte{1});
                        made = array::from_bytes(dtype, shape, raw);
                    }
                }
                CO_ASSERT_OK(made);
                const auto back = co_await p.call<array>("echo", *made);
                CO_ASSERT_OK(back);
                EXPECT_EQ(*back, *made) << dtype;
                const auto facts = co_await p.call<value>("array_facts", *made);
                CO_ASSERT_OK(facts);
                EXPECT_EQ((*facts)["shape"], value(shape)) << dtype;
                EXPECT_EQ((*facts)["writeable"], true);
                EXPECT_EQ((*facts)["contiguous"], true);
            }
        }
    });
}

template <class T>
array shaped(const std::vector<T>& elements, std::vector<std::size_t> shape) {
    return *array::of(std::span<const T>(elements), std::move(shape));
}

TEST_P(Values, ArraysMadeInPythonArriveNativeAndContiguous) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto get = [&p](const char* kind) { return p.call<array>("an_array", kind); };
        const auto as_made = [](const result<array>& a, const array& wanted) {
            if (!a) return testing::AssertionFailure() << a.error().full();
            if (*a == wanted) return testing::AssertionSuccess();
            return testing::AssertionFailure() << "other elements or another shape; dtype " << a->dtype();
        };
        const std::vector<std::pair<const char*, array>> made = {
            {"big_endian", shaped<std::int32_t>({1, 2, 3}, {3})},
            {"zero_d", shaped<double>({7.5}, {})},
            {"empty", shaped<float>({}, {0, 3})},
            {"strided", shaped<std::int64_t>({0, 2, 4, 6, 8, 10}, {3, 2})},
            {"transposed", shaped<std::int16_t>({0, 3, 1, 4, 2, 5}, {3, 2})},
            {"reversed", shaped<std::uint8_t>({3, 2, 1, 0}, {4})},
            {"fortran", shaped<std::int32_t>({0, 1, 2, 3, 4, 5}, {2, 3})},
            {"broadcast", shaped<std::int32_t>({1, 2, 1, 2, 1, 2}, {3, 2})},
            {"read_only", shaped<std::uint8_t>({1, 2}, {2})},
        };
        for (const auto& [kind, wanted] : made) EXPECT_TRUE(as_made(co_await get(kind), wanted)) << kind;
        const auto structured = co_await get("struct");
        CO_ASSERT_OK(structured);
        EXPECT_EQ(value::parse(structured->dtype()), value::parse(R"([["x","<i4"],["y","<f8"],["s","<U2"]])"));
        EXPECT_EQ(structured->item_size(), 4u + 8 + 8);
        const auto big = co_await get("big_endian_struct");
        CO_ASSERT_OK(big);
        EXPECT_EQ(value::parse(big->dtype()), value::parse(R"([["a","<u2"],["b","<f8"]])"));
        EXPECT_EQ(big->bytes()[0], std::byte{1});
        const auto back = co_await p.call<array>("echo", *structured);
        CO_ASSERT_OK(back);
        EXPECT_EQ(*back, *structured);
    });
}

TEST_P(Values, SizesAroundEveryLimitOfTheWire) {
    with_pool(
        one_worker(),
        [](pool& p) -> awaitable<> {
            constexpr std::size_t kib = 1024;
            for (const std::size_t size :
                 {std::size_t{0}, std::size_t{1}, 64 * kib,      128 * kib - 16, 128 * kib - 8,
                  128 * kib - 7,  128 * kib - 6,  128 * kib - 5, 128 * kib - 1,  128 * kib,
                  128 * kib + 1,  256 * kib - 1,  256 * kib,     256 * kib + 1,  384 * kib,
                  4096 * kib,     4096 * kib + 1, 8192 * kib,    8192 * kib + 1, 20 * 1024 * kib}) {
                SCOPED_TRACE(size);
                const value sent = bytes(std::vector<std::uint8_t>(size, 'q'));
                const auto back = co_await p.execute("echo", sent);
                CO_ASSERT_OK(back);
                EXPECT_TRUE(*back == sent);
                const auto made = co_await p.execute("make", list(size, "text"));
                CO_ASSERT_OK(made);
                EXPECT_EQ(made->get_ref<const std::string&>().size(), size);
            }
            EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
        },
        60s * slow);
}

TEST_P(Values, ManyLargeAndSmallOnesAtOnceAllArrive) {
    auto how = options("shapes");
    with_pool(
        how,
        [](pool& p) -> awaitable<> {
            int right = 0;
            constexpr int all = 120;
            for (int i = 0; i < all; ++i) {
                const std::size_t size = i % 3 ? static_cast<std::size_t>(i) * 7 : static_cast<std::size_t>(i) * 40'000;
                async_execute(p, "echo", std::string(size, static_cast<char>('a' + i % 26)), call_options(),
                              [&right, size, i](const result<value>& r) {
                                  if (r && *r == std::string(size, static_cast<char>('a' + i % 26))) ++right;
                                  else ADD_FAILURE() << i << ": " << (r ? "another value" : r.error().full());
                              });
            }
            CO_ASSERT(co_await comes_true([&] { return right == all; }, 30s * slow));
            EXPECT_EQ(p.stats().workers[0].incarnation + p.stats().workers[1].incarnation, 2u);
        },
        60s * slow);
}

TEST_P(Values, OverMaxMessageBytesIsRefusedBothWaysAndTheWorkerSurvives) {
    auto how = one_worker();
    how.max_message_bytes = 1 << 20;
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto first = p.stats().workers[0].pid;
        const auto up = co_await p.execute("size", std::string((1 << 20) + 1, 'x'));
        EXPECT_TRUE(failed_saying(up, errc::message_too_large, "1048576"));
        const auto down = co_await p.execute("make", (1 << 20) + 1);
        EXPECT_TRUE(failed_saying(down, errc::message_too_large, "1048576", "1048582"));
        EXPECT_TRUE(!up && !down && up.error().tool() == "size" && down.error().tool() == "make");
        const auto list_of_small =
            co_await p.execute("size", value(std::vector<std::string>(2000, std::string(1000, 'x'))));
        EXPECT_TRUE(failed_with(list_of_small, errc::message_too_large));
        const auto fits = co_await p.execute("make", (1 << 20) - 5);
        CO_ASSERT_OK(fits);
        const auto back = co_await p.execute("size", list(bytes(std::vector<std::uint8_t>((1 << 20) - 16))));
        EXPECT_EQ(back, (1 << 20) - 16);
        EXPECT_EQ(p.stats().workers[0].pid, first);
    });
}

}  // namespace
}  // namespace snakepit::test
