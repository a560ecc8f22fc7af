#include "telemetry/otlp/settings.hpp"

#include <snakepit/version.hpp>

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string_view>
#include <system_error>

namespace snakepit::detail {
namespace {

constexpr std::chrono::milliseconds shortest_interval{100};  // of metrics, as that of the options

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == text.npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string lower(std::string_view text) {
    std::string made(text);
    std::ranges::transform(made, made.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return made;
}

int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const auto low = c | 0x20;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/// Of W3C Baggage, which these lists are written in. @return  nothing: an escape is none
std::optional<std::string> percent_decoded(std::string_view text) {
    std::string made;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            made += text[i];
            continue;
        }
        if (i + 2 >= text.size() || digit_of(text[i + 1]) < 0 || digit_of(text[i + 2]) < 0) return std::nullopt;
        made += static_cast<char>(digit_of(text[i + 1]) * 16 + digit_of(text[i + 2]));
        i += 2;
    }
    return made;
}

std::string program_name() {
    char path[PATH_MAX];
    const auto size = ::readlink("/proc/self/exe", path, sizeof path);
    if (size <= 0) return "snakepit";
    const std::string_view whole(path, static_cast<std::size_t>(size));
    return std::string(whole.substr(whole.rfind('/') + 1));
}

std::string host_name() {
    char name[HOST_NAME_MAX + 1] = {};
    return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

std::string random_uuid() {
    std::random_device real;
    std::uniform_int_distribution<std::uint64_t> any;
    const auto high = (any(real) & ~std::uint64_t{0xf000}) | 0x4000;
    const auto low = (any(real) & ~(std::uint64_t{0xc} << 60)) | (std::uint64_t{0x8} << 60);
    return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xffff, high & 0xffff, low >> 48,
                       low & 0xffff'ffff'ffff);
}

error mistake(const std::string& where, const std::string& value, const std::string& allowed) {
    return {errc::invalid_options, fmt::format("{} is \"{}\"; it may be {}", where, value, allowed)};
}

/// Of a list with commas.
template <class F>
void for_each_item(std::string_view list, F f) {
    while (!list.empty()) {
        const auto comma = list.find(',');
        if (const auto item = trimmed(list.substr(0, comma)); !item.empty()) f(item);
        if (comma == list.npos) break;
        list.remove_prefix(comma + 1);
    }
}

/// Whether gRPC or HTTP/2 says it itself: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
bool is_transports(std::string_view header) {
    constexpr std::string_view all[] = {"connection",  "content-length", "content-type",     "host",
                                        "keep-alive",  "lb-token",       "proxy-connection", "transfer-encoding",
                                        "te",          "trailer",        "upgrade",          "user-agent",
                                        "lb-cost-bin", "accept-encoding"};
    return header.starts_with("grpc") || std::ranges::find(all, header) != std::end(all);
}

/// Neither a device nor a pipe: to read these may take for ever.
bool is_small_file(const std::string& path) {
    constexpr std::uintmax_t most = 1 << 20;
    std::error_code failed;
    return std::filesystem::is_regular_file(path, failed) && std::filesystem::file_size(path, failed) <= most &&
           !failed;
}

class reader {
public:
    reader(const telemetry_options& options, const environment_lookup& env) : options_(options), env_(env) {}

    result<otlp_settings> read() {
        if (lower(get("OTEL_SDK_DISABLED")) == "true") return std::move(made_);
        if (auto there = target("TRACES", made_.traces); !there) return tl::unexpected(there.error());
        if (auto there = target("METRICS", made_.metrics); !there) return tl::unexpected(there.error());
        sampler();
        made_.max_queue =
            std::min(options_.max_queued_spans, number("OTEL_BSP_MAX_QUEUE_SIZE", options_.max_queued_spans));
        made_.max_batch = std::min(made_.max_queue, number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", made_.max_batch));
        made_.schedule_delay = time("OTEL_BSP_SCHEDULE_DELAY", made_.schedule_delay);
        made_.metrics_interval = options_.metrics_interval.count() > 0
                                     ? options_.metrics_interval
                                     : time("OTEL_METRIC_EXPORT_INTERVAL", made_.metrics_interval, shortest_interval);
        resource();
        if (made_.traces || made_.metrics) tell_of_unheeded();
        return std::move(made_);
    }

private:
    /// Empty is as if not set, as the specification has it.
    [[nodiscard]] std::string get(const std::string& name) const {
        const char* const value = env_(name.c_str());
        return value ? std::string(trimmed(value)) : std::string();
    }
    /// The variable for this kind of data, or the one for all, with its name.
    [[nodiscard]] std::pair<std::string, std::string> get_for(const std::string& kind, const std::string& what) const {
        auto own = "OTEL_EXPORTER_OTLP_" + kind + "_" + what;
        if (auto value = get(own); !value.empty()) return {std::move(own), std::move(value)};
        auto all = "OTEL_EXPORTER_OTLP_" + what;
        auto value = get(all);
        return {std::move(all), std::move(value)};
    }
    std::size_t number(const std::string& name, std::size_t otherwise, std::size_t least = 1) {
        const auto text = get(name);
        if (text.empty()) return otherwise;
        std::size_t n = 0;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
        if (failed == std::errc() && end == text.data() + text.size() && n >= least && n <= 1'000'000'000) return n;
        warn(fmt::format("{}=\"{}\" is no number of {} to 1,000,000,000 and was ignored", name, text, least));
        return otherwise;
    }
    std::chrono::milliseconds time(const std::string& name, std::chrono::milliseconds otherwise,
                                   std::chrono::milliseconds least = std::chrono::milliseconds(1)) {
        return std::chrono::milliseconds(
            number(name, static_cast<std::size_t>(otherwise.count()), static_cast<std::size_t>(least.count())));
    }
    /// As the specification has it everything else is false.
    bool is_true(const std::string& name, const std::string& said) {
        const auto text = lower(said);
        if (!text.empty() && text != "true" && text != "false")
            warn(fmt::format("{}=\"{}\" is neither true nor false and counts as false", name, said));
        return text == "true";
    }
    /// What there is in the specification and not here. Whoever exports nothing does not care.
    void tell_of_unheeded() {
        (void)is_true("OTEL_SDK_DISABLED", get("OTEL_SDK_DISABLED"));
        for (const auto& [name, matters] : {std::pair("OTEL_BSP_EXPORT_TIMEOUT", made_.traces.has_value()),
                                            std::pair("OTEL_METRIC_EXPORT_TIMEOUT", made_.metrics.has_value())})
            if (matters && !get(name).empty())
                warn(fmt::format("{} is ignored: how long an export may take is OTEL_EXPORTER_OTLP_TIMEOUT", name));
        bool is_w3c = false;
        const auto propagators = lower(get("OTEL_PROPAGATORS"));
        for_each_item(propagators, [&](std::string_view item) { is_w3c = is_w3c || item == "tracecontext"; });
        if (!propagators.empty() && !is_w3c) warn("OTEL_PROPAGATORS is ignored: traces are passed on as tracecontext");
    }
    /// "otlp" is the default, and whoever names others too is not kept from it.
    bool is_wanted(const std::string& kind) {
        const auto name = "OTEL_" + kind + "_EXPORTER";
        const auto list = lower(get(name));
        if (list.empty()) return true;
        bool otlp = false;
        for_each_item(list, [&](std::string_view item) {
            if (item == "otlp") otlp = true;
            else if (item != "none")
                warn(fmt::format("{} names \"{}\", which there is not here: otlp and none are", name, item));
        });
        return otlp;
    }

    /// What the options say must be right. What only the environment says may be meant for others: then nothing is
    /// exported, and that is told of.
    result<void> target(const std::string& kind, std::optional<otlp_target>& into) {
        auto [where, url] = get_for(kind, "ENDPOINT");
        const bool is_option = !options_.otlp_endpoint.empty();
        if (is_option) {
            where = "telemetry.otlp_endpoint";
            url = options_.otlp_endpoint;
        }
        if (url.empty() || !is_wanted(kind)) return {};
        otlp_target made;
        auto understood = endpoint(kind, where, url, made);
        if (!understood && is_option) return understood;
        if (understood && !is_option) understood = protocol(kind);
        if (understood) understood = credentials(kind, made);
        if (!understood) {
            warn(fmt::format("{}: no {} are exported", understood.error().message(), lower(kind)));
            return {};
        }
        headers(kind, made);
        made.gzip = compression(kind);
        made.timeout = time(get_for(kind, "TIMEOUT").first, made.timeout);
        into = std::move(made);
        return {};
    }

    result<void> endpoint(const std::string& kind, const std::string& where, const std::string& url, otlp_target& to) {
        const auto wrong = tl::unexpected(
            mistake(where, url, "http://HOST:PORT, or https://HOST:PORT for TLS, without a path; or a name of gRPC's"));
        std::string_view rest = url;
        const auto is_secure = [&] {  // where no scheme says so
            const auto [name, said] = get_for(kind, "INSECURE");
            return !is_true(name, said);
        };
        for (const std::string_view own : {"unix:", "dns:", "ipv4:", "ipv6:"}) {
            if (!rest.starts_with(own)) continue;
            if (rest.size() == own.size()) return wrong;
            to.address = url;
            to.tls = is_secure();
            return {};
        }
        if (const auto scheme = rest.find("://"); scheme != rest.npos) {
            const auto name = lower(rest.substr(0, scheme));
            if (name != "http" && name != "https") return wrong;
            to.tls = name == "https";
            rest.remove_prefix(scheme + 3);
        } else {
            to.tls = is_secure();
        }
        if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
        const auto colon = rest.rfind(':');
        const bool has_port = colon != rest.npos && rest.find(']', colon) == rest.npos;
        const auto host = has_port ? rest.substr(0, colon) : rest;
        unsigned port = 4'317;
        if (has_port) {
            const auto digits = rest.substr(colon + 1);
            const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
            if (failed != std::errc() || end != digits.data() + digits.size() || port == 0 || port > 65'535)
                return wrong;
        }
        const bool is_in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
        const auto name = is_in_brackets ? host.substr(1, host.size() - 2) : host;
        if (name.empty() || name.find_first_of("/?#@[] ") != name.npos) return wrong;
        if (!is_in_brackets && name.find(':') != name.npos) return wrong;
        to.address = fmt::format("{}:{}", host, port);
        return {};
    }

    result<void> protocol(const std::string& kind) const {
        const auto [where, name] = get_for(kind, "PROTOCOL");
        if (name.empty() || lower(name) == "grpc") return {};
        return tl::unexpected(mistake(where, name, "grpc"));
    }

    bool compression(const std::string& kind) {
        const auto [where, said] = get_for(kind, "COMPRESSION");
        const auto name = lower(said);
        if (!name.empty() && name != "gzip" && name != "none")
            warn(fmt::format("{}=\"{}\" is neither gzip nor none and was ignored", where, said));
        return name == "gzip";
    }

    /// gRPC would end the process for one that HTTP/2 cannot carry, and for some that are its own. Values are not told:
    /// they may be secrets.
    void headers(const std::string& kind, otlp_target& to) {
        const auto [where, list] = get_for(kind, "HEADERS");
        for_each_item(list, [&](std::string_view item) {
            const auto equals = std::min(item.find('='), item.size());
            auto key = lower(trimmed(item.substr(0, equals)));
            auto text = percent_decoded(trimmed(item.substr(std::min(equals + 1, item.size()))));
            const bool is_key = !key.empty() && std::ranges::all_of(key, [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
            });
            const bool is_text = text && std::ranges::all_of(*text, [](char c) { return c >= 0x20 && c <= 0x7e; });
            if (equals == item.size() || !is_key || !is_text || key.ends_with("-bin"))
                warn(fmt::format("{}: a header that is no key=value of printable ASCII was ignored", where));
            else if (is_transports(key)) warn(fmt::format("{}: {} is gRPC's to set and was ignored", where, key));
            else to.headers.emplace_back(std::move(key), std::move(*text));
        });
    }

    result<void> credentials(const std::string& kind, otlp_target& to) const {
        if (!to.tls) return {};
        for (const auto& [what, into] :
             {std::pair("CERTIFICATE", &to.certificate), std::pair("CLIENT_CERTIFICATE", &to.client_certificate),
              std::pair("CLIENT_KEY", &to.client_key)}) {
            const auto [name, path] = get_for(kind, what);
            if (path.empty()) continue;
            if (is_small_file(path)) {
                std::ifstream file(path);
                into->assign(std::istreambuf_iterator<char>(file), {});
            }
            if (into->empty())
                return tl::unexpected(mistake(name, path, "a file in PEM that can be read, of at most 1 MiB"));
        }
        return {};
    }

    void sampler() {
        if (options_.sample_ratio) {
            made_.traced = {*options_.sample_ratio, true};
            return;
        }
        const auto name = lower(get("OTEL_TRACES_SAMPLER"));
        if (name.empty()) return;
        made_.traced.parent_based = name.starts_with("parentbased_");
        const auto kind = made_.traced.parent_based ? name.substr(12) : name;
        if (kind == "always_on") made_.traced.ratio = 1;
        else if (kind == "always_off") made_.traced.ratio = 0;
        else if (kind == "traceidratio") made_.traced.ratio = ratio();
        else {
            warn(fmt::format("OTEL_TRACES_SAMPLER=\"{}\" is not known and was ignored", name));
            made_.traced = {};
        }
    }
    double ratio() {
        const auto text = get("OTEL_TRACES_SAMPLER_ARG");
        if (text.empty()) return 1;
        double r = -1;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), r);
        if (failed == std::errc() && end == text.data() + text.size() && r >= 0 && r <= 1) return r;
        warn(fmt::format("OTEL_TRACES_SAMPLER_ARG=\"{}\" is no number from 0 to 1 and was ignored", text));
        return 1;
    }

    void resource() {
        auto& all = made_.resource;
        const auto put = [&](const std::string& key, attribute value) {
            const auto there = std::ranges::find(all, key, [](const auto& pair) { return pair.first; });
            if (there == all.end()) all.emplace_back(key, std::move(value));
            else there->second = std::move(value);
        };
        put("service.name", "unknown_service:" + program_name());
        put("service.instance.id", random_uuid());
        put("process.pid", std::int64_t{::getpid()});
        put("process.executable.name", program_name());
        put("host.name", host_name());
        put("telemetry.sdk.name", "snakepit");
        put("telemetry.sdk.language", "cpp");
        put("telemetry.sdk.version", SNAKEPIT_VERSION);
        for (auto& [key, value] : resource_of_environment()) put(key, std::move(value));
        if (const auto name = get("OTEL_SERVICE_NAME"); !name.empty()) put("service.name", name);
        for (const auto& [key, value] : options_.resource) put(key, value);
        if (!options_.service_name.empty()) put("service.name", options_.service_name);
    }

    /// All or nothing, as the specification has it.
    std::vector<std::pair<std::string, std::string>> resource_of_environment() {
        std::vector<std::pair<std::string, std::string>> all;
        bool is_valid = true;
        for_each_item(get("OTEL_RESOURCE_ATTRIBUTES"), [&](std::string_view item) {
            const auto equals = std::min(item.find('='), item.size());
            const auto key = percent_decoded(trimmed(item.substr(0, equals)));
            const auto value = percent_decoded(trimmed(item.substr(std::min(equals + 1, item.size()))));
            is_valid = is_valid && equals < item.size() && key && !key->empty() && value;
            if (is_valid) all.emplace_back(*key, *value);
        });
        if (is_valid) return all;
        warn(
            "OTEL_RESOURCE_ATTRIBUTES is no list of key=value with %XX for other characters and "
            "was ignored");
        return {};
    }

    /// Once: what traces and metrics share is read for both.
    void warn(std::string what) {
        auto& all = made_.warnings;
        if (std::ranges::find(all, what) == all.end()) all.push_back(std::move(what));
    }

    const telemetry_options& options_;
    const environment_lookup& env_;
    otlp_settings made_;
};

}  // namespace

result<otlp_settings> otlp_settings_from(const telemetry_options& options, const environment_lookup& env) {
    return reader(options, env).read();
}

bool wants_rpc_metrics(const environment_lookup& env) {
    const char* const list = env("OTEL_SEMCONV_STABILITY_OPT_IN");
    bool found = false;
    for_each_item(list ? list : "",
                  [&](std::string_view item) { found = found || item == "rpc" || item == "rpc/dup"; });
    return found;
}

}  // namespace snakepit::detail
