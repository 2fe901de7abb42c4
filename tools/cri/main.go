// Command cri asks a container runtime for images the way a kubelet does: by gRPC, through the
// ImageService of the Container Runtime Interface. It prints what the runtime answered as JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const usage = `usage: cri -socket PATH [-username NAME] pull|status|remove IMAGE
       cri -socket PATH list
The password of -username is read from the environment variable CRI_PASSWORD.`

const callTimeout = 5 * time.Minute

func main() {
	socket := flag.String("socket", "", "the runtime's unix socket")
	username := flag.String("username", "", "who pulls; empty means nobody in particular")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	answer, err := ask(*socket, *username, flag.Arg(0), flag.Arg(1))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(socket, username, verb, image string) (any, error) {
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	images := runtime.NewImageServiceClient(connection)
	spec := &runtime.ImageSpec{Image: image}
	switch verb {
	case "pull":
		request := &runtime.PullImageRequest{Image: spec}
		if username != "" {
			request.Auth = &runtime.AuthConfig{Username: username, Password: os.Getenv("CRI_PASSWORD")}
		}
		return images.PullImage(ctx, request)
	case "status":
		return images.ImageStatus(ctx, &runtime.ImageStatusRequest{Image: spec})
	case "list":
		return images.ListImages(ctx, &runtime.ListImagesRequest{})
	case "remove":
		return images.RemoveImage(ctx, &runtime.RemoveImageRequest{Image: spec})
	}
	return nil, fmt.Errorf("unknown verb %q\n%s", verb, usage)
}
