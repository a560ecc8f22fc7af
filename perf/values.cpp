// What it costs to turn values into bytes and back.

#include "perf_report.hpp"
#include "value/codec.hpp"

#include <snakepit/array.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

using snakepit::value;
using snakepit::detail::decode;
using snakepit::detail::encode;

value text() { return std::string(100, 'x'); }

value mixed_map() {
    return {
        {"name", "alice"}, {"age", 30},          {"score", 1.5},    {"ok", true},
        {"none", nullptr}, {"tags", {"a", "b"}}, {"id", 123456789}, {"city", "a text too long for its string object"},
        {"ratio", 0.1},    {"balance", -5}};
}

value integers() {
    value list = value::array();
    for (int i = 0; i < 1000; ++i) list.push_back(i);
    return list;
}

value mebibyte() { return snakepit::bytes(std::vector<std::uint8_t>(1 << 20, 7)); }

snakepit::array doubles() { return snakepit::array::of(std::vector<double>(1'000'000, 0.1)); }

value doubles_value() { return doubles(); }

std::string encoded(const value& v) { return *encode(v, "args", std::numeric_limits<std::size_t>::max()); }

void encode_value(benchmark::State& state, value (*make)()) {
    const value v = make();
    for (auto _ : state) benchmark::DoNotOptimize(encoded(v));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * encoded(v).size()));
}

void decode_value(benchmark::State& state, value (*make)()) {
    const std::string bytes = encoded(make());
    for (auto _ : state) benchmark::DoNotOptimize(*decode(bytes, "result"));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes.size()));
}

BENCHMARK_CAPTURE(encode_value, text_of_100_bytes, text);
BENCHMARK_CAPTURE(decode_value, text_of_100_bytes, text);
BENCHMARK_CAPTURE(encode_value, map_of_10, mixed_map);
BENCHMARK_CAPTURE(decode_value, map_of_10, mixed_map);
BENCHMARK_CAPTURE(encode_value, list_of_1000_integers, integers);
BENCHMARK_CAPTURE(decode_value, list_of_1000_integers, integers);
BENCHMARK_CAPTURE(encode_value, bytes_1_mib, mebibyte);
BENCHMARK_CAPTURE(decode_value, bytes_1_mib, mebibyte);
BENCHMARK_CAPTURE(encode_value, array_of_1e6_doubles, doubles_value);
BENCHMARK_CAPTURE(decode_value, array_of_1e6_doubles, doubles_value);

/// From elements to bytes, as a caller pays for it.
void encode_array(benchmark::State& state) {
    const snakepit::array a = doubles();
    for (auto _ : state) benchmark::DoNotOptimize(encoded(a));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * a.bytes().size()));
}
BENCHMARK(encode_array);

void decode_array(benchmark::State& state) {
    const std::string bytes = encoded(doubles());
    for (auto _ : state) benchmark::DoNotOptimize(decode(bytes, "result")->get<snakepit::array>());
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(decode_array);

/// Each as a row: "values.encode.map_of_10".
class rows : public benchmark::ConsoleReporter {
public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const auto& r : runs) {
            auto name = "values." + r.benchmark_name();
            for (const auto& [from, to] : {std::pair("_value/", "."), std::pair("_array", ".array_and_copy")})
                if (const auto at = name.find(from); at != name.npos && name.find('.', at) == name.npos)
                    name.replace(at, std::string_view(from).size(), to);
            report_.row(name, r.GetAdjustedCPUTime(), "ns", "CPU, C++ alone");
        }
    }

private:
    snakepit::perf::report report_;
};

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    rows to;
    benchmark::RunSpecifiedBenchmarks(&to);
}
