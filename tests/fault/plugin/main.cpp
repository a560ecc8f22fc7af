// An application that serves gRPC itself and loads a plugin with a pool: neither disturbs the other. (C56)
// usage: plugin_host PLUGIN DIRECTORY_OF_THE_MODULE

#include <dlfcn.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <chrono>
#include <cstdio>

namespace {

/// Answers every call with what it was given.
class echo final : public grpc::ServerGenericBidiReactor {
public:
    echo() { StartRead(&message_); }

private:
    void OnReadDone(bool ok) override {
        if (ok) StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
        else Finish(grpc::Status::OK);
    }
    void OnDone() override { delete this; }

    grpc::ByteBuffer message_;
};

class echo_service final : public grpc::CallbackGenericService {
    grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override { return new echo; }
};

bool is_serving(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    grpc::CompletionQueue queue;
    const grpc::Slice sent("here I am");
    const grpc::ByteBuffer request(&sent, 1);
    const auto call = stub.PrepareUnaryCall(&context, "/application/Echo", request, &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    grpc::Slice text;
    return ok && status.ok() && reply.TrySingleSlice(&text).ok() && text.size() == sent.size();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    echo_service service;
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&service);
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
