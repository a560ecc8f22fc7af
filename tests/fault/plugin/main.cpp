// An application that serves gRPC itself and loads a plugin with a pool: neither disturbs the other. (C56)
// usage: plugin_host PLUGIN DIRECTORY_OF_THE_MODULE

#include <dlfcn.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <chrono>
#include <cstdio>

namespace {

/// One call of the health service, by hand: an empty request, whose reply is "serving" (field 1, value 1).
bool is_serving(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    grpc::CompletionQueue queue;
    const grpc::ByteBuffer nothing(nullptr, 0);
    const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", nothing, &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    grpc::Slice text;
    return ok && status.ok() && reply.TrySingleSlice(&text).ok() && text.size() == 2 && text.begin()[1] == 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    const auto server = builder.BuildAndStart();
    const auto channel = server->InProcessChannel({});
    if (!is_serving(channel)) return std::puts("the application's own gRPC does not work before"), 1;

    void* plugin = ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!plugin) return std::puts(::dlerror()), 1;
    const auto add = reinterpret_cast<int (*)(const char*, const char*)>(::dlsym(plugin, "add_in_python"));
    for (int i = 0; i < 2; ++i) {
        const int sum = add("everyday", argv[2]);
        if (sum != 5) return std::printf("the plugin says %d\n", sum), 1;
        if (!is_serving(channel)) return std::puts("the application's own gRPC does not work behind"), 1;
    }
    return 0;
}
