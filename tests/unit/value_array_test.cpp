#include <snakepit/array.hpp>

#include "value/codec.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

namespace snakepit {
namespace {

std::vector<std::byte> some_bytes(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i & 1);  // true for bools too
    return bytes;
}

array journey(const array& a) {
    auto encoded = detail::encode(a, "args", std::numeric_limits<std::size_t>::max());
    if (!encoded) {
        ADD_FAILURE() << encoded.error();
        return {};
    }
    auto decoded = detail::decode(*encoded, "result");
    if (!decoded) {
        ADD_FAILURE() << decoded.error();
        return {};
    }
    EXPECT_TRUE(is_array(*decoded));
    return decoded->get<array>();
}

/// The dtype under which an array of two items is kept, or why there is none.
std::string dtype_after(const std::string& dtype, std::size_t item_size) {
    const auto a = array::from_bytes(dtype, {2}, some_bytes(2 * item_size));
    if (!a) {
        EXPECT_EQ(a.error(), errc::bad_arguments);
        return a.error().message();
    }
    EXPECT_EQ(a->item_size(), item_size);
    EXPECT_EQ(a->size(), 2U);
    EXPECT_EQ(journey(*a), *a) << dtype;
    return a->dtype();
}

template <class T>
void expect_element_type(std::string_view dtype, std::vector<T> elements) {
    const auto a = array::of(elements);
    EXPECT_EQ(a.dtype(), dtype);
    EXPECT_EQ(a.shape(), std::vector<std::size_t>{elements.size()});
    const array back = journey(a);
    EXPECT_EQ(back, a);
    const auto view = back.view<T>();
    ASSERT_TRUE(view) << view.error();
    EXPECT_TRUE(std::equal(view->begin(), view->end(), elements.begin(), elements.end()));
}

TEST(Array, KeepsElementsOfEveryType) {
    expect_element_type<bool>("|b1", {true, false, true});
    expect_element_type<std::int8_t>("|i1", {-128, 0, 127});
    expect_element_type<std::uint8_t>("|u1", {0, 255});
    expect_element_type<std::int16_t>("<i2", {-32768, 32767});
    expect_element_type<std::uint16_t>("<u2", {0, 65535});
    expect_element_type<std::int32_t>("<i4", {std::numeric_limits<std::int32_t>::min(), 1});
    expect_element_type<std::uint32_t>("<u4", {0, 0xFFFFFFFF});
    expect_element_type<std::int64_t>("<i8", {std::numeric_limits<std::int64_t>::min(), 1});
    expect_element_type<long long>("<i8", {std::numeric_limits<long long>::min(), 1});
    expect_element_type<std::uint64_t>("<u8", {0, std::numeric_limits<std::uint64_t>::max()});
    expect_element_type<float>("<f4", {-1.5F, std::numeric_limits<float>::infinity()});
    expect_element_type<double>("<f8", {0.1, std::numeric_limits<double>::denorm_min()});
    expect_element_type<std::complex<float>>("<c8", {{1, 2}});
    expect_element_type<std::complex<double>>("<c16", {{0.1, -2}});
}

TEST(Array, KnowsNoDtypeForCharactersAndOtherTypes) {
    static_assert(detail::dtype_of<char>().empty());
    static_assert(detail::dtype_of<wchar_t>().empty());
    static_assert(detail::dtype_of<char16_t>().empty());
    static_assert(detail::dtype_of<long double>().empty());
    EXPECT_EQ(array().view<char>().error(), errc::type_mismatch);
}

TEST(Array, KeepsEverySimpleDtype) {
    for (const auto& [dtype, item_size] : std::initializer_list<std::pair<const char*, std::size_t>>{
             {"|b1", 1},     {"|i1", 1},       {"|u1", 1},     {"<i2", 2},     {"<i4", 4},     {"<i8", 8},
             {"<u2", 2},     {"<u4", 4},       {"<u8", 8},     {"<f2", 2},     {"<f4", 4},     {"<f8", 8},
             {"<f16", 16},   {"<c8", 8},       {"<c16", 16},   {"<c32", 32},   {"<M8", 8},     {"<m8", 8},
             {"<M8[Y]", 8},  {"<M8[M]", 8},    {"<M8[W]", 8},  {"<M8[D]", 8},  {"<M8[h]", 8},  {"<M8[m]", 8},
             {"<M8[s]", 8},  {"<M8[ms]", 8},   {"<m8[us]", 8}, {"<m8[ns]", 8}, {"<m8[ps]", 8}, {"<m8[fs]", 8},
             {"<m8[as]", 8}, {"<m8[25us]", 8}, {"|S1", 1},     {"|S5", 5},     {"<U3", 12},    {"|V7", 7},
             {"|S0", 0},     {"<U0", 0},       {"|V0", 0}})
        EXPECT_EQ(dtype_after(dtype, item_size), dtype);
}

TEST(Array, BringsDtypesIntoNumpysForm) {
    EXPECT_EQ(dtype_after("f8", 8), "<f8");
    EXPECT_EQ(dtype_after("=f8", 8), "<f8");
    EXPECT_EQ(dtype_after("<i1", 1), "|i1");
    EXPECT_EQ(dtype_after(">u1", 1), "|u1");
    EXPECT_EQ(dtype_after(">S3", 3), "|S3");
    EXPECT_EQ(dtype_after(R"( [["x","f4"]])", 4), "the dtype \" [[\\\"x\\\",\\\"f4\\\"]]\" of an array is unknown");
    EXPECT_EQ(dtype_after(R"([ ["x", "f4"] ])", 4), R"([["x","<f4"]])");
}

TEST(Array, RefusesDtypesThatAreNotOfFixedSizeNativeAndKnown) {
    for (const char* dtype : {"O",
                              "|O",
                              "|O8",
                              ">f8",
                              ">i2",
                              ">U3",
                              ">M8[ns]",
                              "",
                              "<",
                              "|",
                              "f",
                              "<f1",
                              "<f10",
                              "<f3",
                              "<i3",
                              "<i16",
                              "<c4",
                              "|b2",
                              "b",
                              "?",
                              "<x4",
                              "<M4",
                              "<M8[",
                              "<M8]",
                              "<M8[]",
                              "<M8[q]",
                              "<M8[ns",
                              "<M8[0ns]",
                              "<M8[-1ns]",
                              "<M8[25]",
                              "<M8[D/3]",
                              "<M8[9999999999D]",
                              "<M8[ns]x",
                              "|S",
                              "|S-1",
                              "|S+1",
                              "|S1x",
                              "|S2147483648",
                              "|S99999999999999999999",
                              "<U536870912",
                              "<<f8",
                              "f8 ",
                              "[",
                              "[]x",
                              "[1]",
                              "[[]]",
                              "{}"}) {
        const auto a = array::from_bytes(dtype, {0}, {});
        ASSERT_FALSE(a) << dtype;
        EXPECT_EQ(a.error(), errc::bad_arguments);
    }
}

TEST(Array, KeepsStructuredDtypes) {
    for (const auto& [dtype, item_size] : std::initializer_list<std::pair<const char*, std::size_t>>{
             {R"([["x","<f4"],["y","<i2"]])", 6},
             {R"([["x","<f4",[3]],["y","<i2",[2,3]],["z","|u1",[]]])", 25},
             {R"([["outer",[["in","<f8"],["side","|S3"]],[2]]])", 22},
             {R"([["a","|i1"],["","|V3"],["b","<i4"],["","|V4"]])", 12},
             {R"([[["a title","name"],"<f4"]])", 4},
             {R"([["a",["<f4",[2]],[3]]])", 24},
             {R"([["Größe","<f4"]])", 4},
             {R"([])", 0}})
        EXPECT_EQ(dtype_after(dtype, item_size), dtype);
}

TEST(Array, RefusesStructuredDtypesThatNumpyWouldRefuse) {
    for (const char* dtype :
         {R"([["x"]])", R"([["x","<f4",3]])", R"([["x","<f4",[-1]]])", R"([["x","<f4",[0.5]]])",
          R"([["x","<f4",[1],4]])", R"([["x","O"]])", R"([["x",">f4"]])", R"([["x","<f4"],["x","<f4"]])",
          R"([[["x","y"],"<f4"],["x","<f4"]])", R"([[1,"<f4"]])", R"([[["a","b","c"],"<f4"]])", R"([[["a",1],"<f4"]])",
          R"(["<f4",[2]])", R"(["x","<f4"])", R"([["x",1]])", R"([["x","<f4",[4294967296,4294967296]]])",
          R"([["x","|S2147483647"],["y","|u1"]])", R"([["x","|S2147483647",[2]]])", R"([["x",["O",[2]]]])"}) {
        const auto a = array::from_bytes(dtype, {0}, {});
        ASSERT_FALSE(a) << dtype;
        EXPECT_EQ(a.error(), errc::bad_arguments);
    }
}

TEST(Array, RefusesDtypesNestedTooDeeply) {
    const auto nested = [](std::size_t depth) {
        std::string dtype = "\"|u1\"";
        for (std::size_t i = 0; i < depth; ++i) dtype = R"([["f",)" + dtype + "]]";
        return dtype;
    };
    EXPECT_EQ(dtype_after(nested(100), 1), nested(100));
    EXPECT_FALSE(array::from_bytes(nested(101), {0}, {}));
    std::string opening;
    for (int i = 0; i < 200'000; ++i) opening += R"([["f",)";
    EXPECT_FALSE(array::from_bytes(opening, {0}, {}));
    EXPECT_FALSE(array::from_bytes(std::string(200'000, '[') + std::string(200'000, ']'), {0}, {}));
}

TEST(Array, KeepsShapesOfAnyNumberOfDimensions) {
    const std::vector<double> six{1, 2, 3, 4, 5, 6};
    for (const std::vector<std::size_t>& shape :
         {std::vector<std::size_t>{6}, {2, 3}, {1, 2, 1, 3}, std::vector<std::size_t>(31, 1)}) {
        auto all = shape;
        if (all.size() == 31) all.push_back(6);
        const auto a = array::of<double>(six, all);
        ASSERT_TRUE(a) << a.error();
        EXPECT_EQ(journey(*a), *a);
        EXPECT_EQ(journey(*a).shape(), all);
    }
    EXPECT_FALSE(array::of<double>(six, std::vector<std::size_t>{2, 2}));
    EXPECT_FALSE(array::of<double>(std::vector<double>{1}, std::vector<std::size_t>(33, 1)));
}

TEST(Array, KeepsAnArrayOfNoDimensions) {
    const auto a = array::of<double>(std::vector<double>{2.5}, {});
    ASSERT_TRUE(a) << a.error();
    EXPECT_EQ(a->size(), 1U);
    EXPECT_EQ(journey(*a), *a);
    EXPECT_EQ(a->view<double>()->front(), 2.5);
}

TEST(Array, KeepsEmptyArraysWithTheirShape) {
    const auto a = array::of<float>(std::span<const float>(), {3, 0, 2});
    ASSERT_TRUE(a) << a.error();
    EXPECT_EQ(a->size(), 0U);
    EXPECT_EQ(journey(*a), *a);
    EXPECT_TRUE(a->view<float>()->empty());
    EXPECT_EQ(journey(array()), array());
    EXPECT_EQ(array().dtype(), "<f8");
    EXPECT_EQ(array().size(), 0U);
}

TEST(Array, CountsItemsThatHaveNoBytes) {
    const auto a = array::from_bytes("|S0", {2, 3}, {});
    ASSERT_TRUE(a) << a.error();
    EXPECT_EQ(a->size(), 6U);
    EXPECT_EQ(journey(*a), *a);
}

TEST(Array, SaysWhichSizeShapeAndDtypeNeed) {
    const auto a = array::from_bytes("<f8", {2}, some_bytes(12));
    ASSERT_FALSE(a);
    EXPECT_EQ(a.error(), errc::bad_arguments);
    EXPECT_EQ(a.error().message(), "an array of 12 bytes: dtype <f8 and shape [2] need 16");
}

TEST(Array, RefusesShapesWhoseProductOverflows) {
    const std::size_t huge = std::size_t{1} << 32;
    EXPECT_FALSE(array::from_bytes("|u1", {huge, huge}, {}));
    EXPECT_FALSE(array::from_bytes("|u1", {huge, huge, 0}, {}));
    EXPECT_FALSE(array::from_bytes("|S0", {huge, huge}, {}));
    EXPECT_FALSE(array::from_bytes("<f8", {std::size_t{1} << 61}, {}));
}

TEST(Array, TakesBytesFromAnyAddressAndGivesAlignedElements) {
    std::vector<std::byte> storage(1 + 3 * sizeof(double));
    const std::vector<double> elements{0.1, 0.2, 0.3};
    std::memcpy(storage.data() + 1, elements.data(), 3 * sizeof(double));
    const auto a = array::from_bytes("<f8", {3}, std::span(storage).subspan(1));
    ASSERT_TRUE(a) << a.error();
    const auto view = a->view<double>();
    ASSERT_TRUE(view);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view->data()) % alignof(double), 0U);
    EXPECT_TRUE(std::equal(view->begin(), view->end(), elements.begin()));
    // The length of the dtype shifts the data inside the payload.
    for (const char* dtype : {"<m8", "<m8[s]", "<m8[ms]", "<m8[25s]", "<m8[25ms]"})
        EXPECT_EQ(dtype_after(dtype, 8), dtype);
}

TEST(Array, NamesBothTypesWhenTheyDiffer) {
    const auto view = array::of<float>({1}).view<double>();
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error(), errc::type_mismatch);
    EXPECT_EQ(view.error().message(), "the array is of dtype <f4, not <f8");
}

TEST(Array, CanBeChangedThroughAView) {
    auto a = array::of<int>({1, 2, 3});
    (*a.view<int>())[1] = 20;
    EXPECT_EQ((*std::as_const(a).view<int>())[1], 20);
    EXPECT_EQ(journey(a), a);
    EXPECT_NE(a, array::of<int>({1, 2, 3}));
}

TEST(Array, HasOnlyBoolsThatAreFalseOrTrue) {
    const std::uint8_t raw[] = {0, 1, 2, 255};
    const auto a = array::from_bytes("|b1", {4}, std::as_bytes(std::span(raw)));
    ASSERT_TRUE(a);
    const std::vector<std::byte> tidy(a->bytes().begin(), a->bytes().end());
    EXPECT_EQ(tidy, (std::vector<std::byte>{std::byte{0}, std::byte{1}, std::byte{1}, std::byte{1}}));
}

TEST(Array, HasNothingToSeeAfterItWasMovedAway) {
    auto a = array::of<double>({1, 2, 3});
    const array b = std::move(a);
    EXPECT_EQ(b.size(), 3U);
    const auto left = a.view<double>();  // NOLINT(bugprone-use-after-move): no more than safe
    EXPECT_TRUE(!left || left->empty());
}

struct measurement {
    std::string name;
    array samples;
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(measurement, name, samples)
};

TEST(Array, StandsInsideValuesAndStructs) {
    const measurement m{"one", array::of<double>({1, 2})};
    const value v = m;
    EXPECT_TRUE(is_array(v["samples"]));
    EXPECT_EQ(v.get<measurement>().samples, m.samples);
    EXPECT_EQ(args("data", m.samples)["data"].get<array>(), m.samples);
}

TEST(Array, IsNeverMistakenForOtherValues) {
    EXPECT_TRUE(is_array(value(array())));
    for (const value& v : {value(), value("text"), value({1, 2}), value::object(), bytes({1}), value::binary({1}, 2)})
        EXPECT_FALSE(is_array(v)) << v;
}

TEST(Array, ThrowsATypeErrorWhenAValueIsNoArray) {
    for (const value& v : {value(), value("text"), value({1, 2}), bytes({1}), value::binary({1}, detail::array_ext)}) {
        try {
            (void)v.get<array>();
            FAIL() << v;
        } catch (const value::type_error& e) {
            EXPECT_EQ(e.id, 302);
        }
    }
    try {
        (void)value(7).get<array>();
    } catch (const value::type_error& e) {
        EXPECT_NE(std::string(e.what()).find("type must be a numpy array, but is number"), std::string::npos)
            << e.what();
    }
}

}  // namespace
}  // namespace snakepit
