#include "telemetry/otlp/settings.hpp"

#include <snakepit/version.hpp>

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <climits>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>

namespace snakepit::detail {
namespace {

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

/// Of W3C Baggage, which these lists are written in. What is no valid escape stays as it is.
std::string percent_decoded(std::string_view text) {
    std::string made;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool is_escape =
            text[i] == '%' && i + 2 < text.size() && digit_of(text[i + 1]) >= 0 && digit_of(text[i + 2]) >= 0;
        if (is_escape) {
            made += static_cast<char>(digit_of(text[i + 1]) * 16 + digit_of(text[i + 2]));
            i += 2;
        } else {
            made += text[i];
        }
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
                                     : time("OTEL_METRIC_EXPORT_INTERVAL", made_.metrics_interval);
        resource();
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
    std::size_t number(const std::string& name, std::size_t otherwise) {
        const auto text = get(name);
        if (text.empty()) return otherwise;
        std::size_t n = 0;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
        if (failed == std::errc() && end == text.data() + text.size() && n > 0 && n <= 1'000'000'000) return n;
        made_.warnings.push_back(
            fmt::format("{}=\"{}\" is no number of 1 to 1,000,000,000 and was ignored", name, text));
        return otherwise;
    }
    std::chrono::milliseconds time(const std::string& name, std::chrono::milliseconds otherwise) {
        return std::chrono::milliseconds(number(name, static_cast<std::size_t>(otherwise.count())));
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
                made_.warnings.push_back(
                    fmt::format("{} names \"{}\", which there is not here: otlp and none are", name, item));
        });
        return otlp;
    }

    result<void> target(const std::string& kind, std::optional<otlp_target>& into) {
        auto [where, url] = get_for(kind, "ENDPOINT");
        if (!options_.otlp_endpoint.empty()) {
            where = "telemetry.otlp_endpoint";
            url = options_.otlp_endpoint;
        }
        if (url.empty() || !is_wanted(kind)) return {};
        const auto [protocol_name, protocol] = get_for(kind, "PROTOCOL");
        if (!protocol.empty() && lower(protocol) != "grpc" && options_.otlp_endpoint.empty())
            return tl::unexpected(mistake(protocol_name, protocol, "grpc"));
        otlp_target made;
        const std::string allowed = "http://HOST:PORT, or https://HOST:PORT for TLS, without a path";
        std::string_view rest = url;
        const auto scheme = rest.find("://");
        if (scheme == rest.npos) {
            made.tls = lower(get_for(kind, "INSECURE").second) != "true";
        } else {
            const auto name = lower(rest.substr(0, scheme));
            if (name != "http" && name != "https") return tl::unexpected(mistake(where, url, allowed));
            made.tls = name == "https";
            rest.remove_prefix(scheme + 3);
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
                return tl::unexpected(mistake(where, url, allowed));
        }
        if (host.empty() || host.find_first_of("/?#@ ") != host.npos)
            return tl::unexpected(mistake(where, url, allowed));
        made.address = fmt::format("{}:{}", host, port);
        if (auto there = certificate(kind, made); !there) return there;
        for_each_item(get_for(kind, "HEADERS").second, [&](std::string_view item) {
            const auto equals = item.find('=');
            if (equals == item.npos || equals == 0)
                made_.warnings.push_back(fmt::format("a header for OTLP without {} was ignored", "\"=\""));
            else
                made.headers.emplace_back(lower(trimmed(item.substr(0, equals))),
                                          percent_decoded(trimmed(item.substr(equals + 1))));
        });
        made.timeout = time(get_for(kind, "TIMEOUT").first, made.timeout);
        into = std::move(made);
        return {};
    }

    result<void> certificate(const std::string& kind, otlp_target& to) {
        const auto [name, path] = get_for(kind, "CERTIFICATE");
        if (path.empty() || !to.tls) return {};
        std::ifstream file(path);
        to.certificate.assign(std::istreambuf_iterator<char>(file), {});
        if (to.certificate.empty())
            return tl::unexpected(mistake(name, path, "a file with a PEM certificate that can be read"));
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
            made_.warnings.push_back(fmt::format("OTEL_TRACES_SAMPLER=\"{}\" is not known and was ignored", name));
            made_.traced = {};
        }
    }
    double ratio() {
        const auto text = get("OTEL_TRACES_SAMPLER_ARG");
        if (text.empty()) return 1;
        double r = -1;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), r);
        if (failed == std::errc() && end == text.data() + text.size() && r >= 0 && r <= 1) return r;
        made_.warnings.push_back(
            fmt::format("OTEL_TRACES_SAMPLER_ARG=\"{}\" is no number from 0 to 1 and was ignored", text));
        return 1;
    }

    void resource() {
        auto& all = made_.resource;
        const auto put = [&](const std::string& key, const std::string& value) {
            const auto there = std::ranges::find(all, key, [](const auto& pair) { return pair.first; });
            if (there == all.end()) all.emplace_back(key, value);
            else there->second = value;
        };
        put("service.name", "unknown_service:" + program_name());
        put("service.instance.id", random_uuid());
        put("process.pid", std::to_string(::getpid()));
        put("process.executable.name", program_name());
        put("host.name", host_name());
        put("telemetry.sdk.name", "snakepit");
        put("telemetry.sdk.language", "cpp");
        put("telemetry.sdk.version", SNAKEPIT_VERSION);
        for_each_item(get("OTEL_RESOURCE_ATTRIBUTES"), [&](std::string_view item) {
            const auto equals = item.find('=');
            if (equals == item.npos || equals == 0)
                made_.warnings.push_back(
                    fmt::format("\"{}\" in OTEL_RESOURCE_ATTRIBUTES is no key=value and was ignored", item));
            else
                put(percent_decoded(trimmed(item.substr(0, equals))),
                    percent_decoded(trimmed(item.substr(equals + 1))));
        });
        if (const auto name = get("OTEL_SERVICE_NAME"); !name.empty()) put("service.name", name);
        for (const auto& [key, value] : options_.resource) put(key, value);
        if (!options_.service_name.empty()) put("service.name", options_.service_name);
    }

    template <class F>
    static void for_each_item(std::string_view list, F f) {
        while (!list.empty()) {
            const auto comma = list.find(',');
            if (const auto item = trimmed(list.substr(0, comma)); !item.empty()) f(item);
            if (comma == list.npos) break;
            list.remove_prefix(comma + 1);
        }
    }

    const telemetry_options& options_;
    const environment_lookup& env_;
    otlp_settings made_;
};

}  // namespace

result<otlp_settings> otlp_settings_from(const telemetry_options& options, const environment_lookup& env) {
    return reader(options, env).read();
}

}  // namespace snakepit::detail
