package lora

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/safetensors"
	"github.com/vislora/vislora/vision/build"
)

// folder writes an adapter by hand: a configuration and float32 tensors of
// ones with the given shapes.
func folder(t *testing.T, config string, shapes map[string][]int) string {
	t.Helper()
	f := &safetensors.File{Tensors: make(map[string]safetensors.Tensor)}
	for key, shape := range shapes {
		var data []byte
		for range size(shape) {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(1))
		}
		f.Tensors[key] = safetensors.Tensor{DType: safetensors.F32, Shape: shape, Data: data}
	}
	return folderOf(t, config, f)
}

func folderOf(t *testing.T, config string, f *safetensors.File) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(filepath.Join(dir, WeightsFile), f); err != nil {
		t.Fatal(err)
	}
	return dir
}

const r2 = `{"peft_type":"LORA","r":2,"target_modules":["fc"]}`

func TestLoadRefuses(t *testing.T) {
	const p = "base_model.model."
	ab := map[string][]int{p + "fc.lora_A.weight": {2, 3}, p + "fc.lora_B.weight": {4, 2}}
	with := func(key string, shape ...int) map[string][]int {
		m := map[string][]int{key: shape}
		for k, v := range ab {
			if _, ok := m[k]; !ok {
				m[k] = v
			}
		}
		return m
	}
	for _, c := range []struct {
		name, config string
		shapes       map[string][]int
		parts        []string
	}{
		{"rank", `{"peft_type":"LORA","r":8,"target_modules":["fc"]}`, ab, []string{p + "fc.lora_A.weight has shape [2 3], so rank 2", "gives this layer rank 8"}},
		{"no B", r2, map[string][]int{p + "fc.lora_A.weight": {2, 3}}, []string{"layer fc has only one of"}},
		{"no shared rank", r2, with(p+"fc.lora_B.weight", 4, 3), []string{"[2 3]", "[4 3]", "do not share a rank"}},
		{"conv and linear", r2, with(p+"fc.lora_B.weight", 4, 2, 1, 1), []string{"[2 3]", "[4 2 1 1]", "wanted (r, in)"}},
		{"conv 1d", r2, map[string][]int{p + "fc.lora_A.weight": {2, 3, 1}, p + "fc.lora_B.weight": {4, 2, 1}}, []string{"[2 3 1]"}},
		{"B not 1x1", r2, map[string][]int{p + "fc.lora_A.weight": {2, 3, 3, 3}, p + "fc.lora_B.weight": {4, 2, 3, 3}}, []string{"[4 2 3 3]", "do not share"}},
		{"empty", r2, map[string][]int{p + "fc.lora_A.weight": {2, 0}, p + "fc.lora_B.weight": {4, 2}}, []string{"[2 0]"}},
		{"magnitude without dora", r2, with(p+"fc.lora_magnitude_vector", 4), []string{"fc.lora_magnitude_vector is there, while use_dora is false"}},
		{"dora without magnitude", strings.Replace(r2, "}", `,"use_dora":true}`, 1), ab, []string{"is missing, while use_dora is true"}},
		{"magnitude", strings.Replace(r2, "}", `,"use_dora":true}`, 1), with(p+"fc.lora_magnitude_vector", 5), []string{"has shape [5], wanted [4]"}},
		{"bias of B", strings.Replace(r2, "}", `,"lora_bias":true}`, 1), with(p+"fc.lora_B.bias", 5), []string{"fc.lora_B.bias has shape [5], wanted [4]"}},
		{"prefix", r2, with("fc.weight", 4), []string{`fc.weight does not begin with "base_model.model."`}},
		{"embedding", r2, with(p+"tok.lora_embedding_A", 4), []string{"tok.lora_embedding_A", "not known"}},
		{"both biases", r2, map[string][]int{p + "fc.lora_A.weight": {2, 3}, p + "fc.lora_B.weight": {4, 2}, p + "fc.bias": {4}, p + "fc.base_layer.bias": {4}},
			[]string{"are both the parameter fc.bias"}},
		{"bias not wrapped", r2, with(p+"fc.bias", 4), []string{"fc.bias should be base_model.model.fc.base_layer.bias"}},
		{"delta and A", r2, with(p+"fc.lora_delta.weight", 4, 1, 3, 3), []string{"fc.lora_delta.weight stands beside"}},
		{"config", `{"peft_type":"LORA","r":-1}`, ab, []string{ConfigFile, "r is -1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, c.config, c.shapes)
			_, err := Load(dir)
			wantError(t, err, append(c.parts, dir)...)
		})
	}
	if _, err := Load(folder(t, r2, ab)); err != nil {
		t.Errorf("the file that the others are broken copies of: %v", err)
	}
}

func TestLoadMissing(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(dir)
	wantError(t, err, filepath.Join(dir, ConfigFile))
	for name, text := range map[string]string{ConfigFile: r2, "adapter_model.bin": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Load(dir)
	wantError(t, err, WeightsFile, "safe_serialization=True")
}

func TestLoadRefusesNaN(t *testing.T) {
	data := make([]byte, 4*6)
	binary.LittleEndian.PutUint32(data[12:], math.Float32bits(float32(math.NaN())))
	_, err := Load(folderOf(t, r2, &safetensors.File{Tensors: map[string]safetensors.Tensor{
		"base_model.model.fc.lora_A.weight": {DType: safetensors.F32, Shape: []int{2, 3}, Data: data}}}))
	wantError(t, err, "fc.lora_A.weight: element 3 is NaN")
}

// TestDTypes: every type comes back as the same bytes, and a changed value is
// written in the file's type.
func TestDTypes(t *testing.T) {
	le := binary.LittleEndian
	const p = "base_model.model."
	tenth := math.Float64bits(.1) // not a float32
	in := &safetensors.File{Metadata: map[string]string{"format": "pt", "x": "y"}, Tensors: map[string]safetensors.Tensor{
		p + "h.f16":  {DType: safetensors.F16, Shape: []int{3}, Data: []byte{0x01, 0x00, 0xff, 0x7b, 0x00, 0x80}}, // smallest, largest, −0
		p + "h.bf16": {DType: safetensors.BF16, Shape: []int{2}, Data: []byte{0x80, 0x3f, 0x7f, 0xff}},
		p + "h.f64":  {DType: safetensors.F64, Shape: []int{2}, Data: le.AppendUint64(le.AppendUint64(nil, tenth), tenth)},
		p + "h.num":  {DType: safetensors.I64, Shape: []int{}, Data: le.AppendUint64(nil, 1<<60+1)},
		p + "h.b":    {DType: safetensors.Bool, Shape: []int{0}, Data: []byte{}},
		p + "h.f32":  {DType: safetensors.F32, Shape: []int{1, 1}, Data: le.AppendUint32(nil, 1)},
	}}
	dir := folderOf(t, r2, in)
	a, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := a.Save(out); err != nil {
		t.Fatal(err)
	}
	back, err := safetensors.Read(filepath.Join(out, WeightsFile))
	if err != nil || !reflect.DeepEqual(back, in) {
		t.Errorf("read %v, %v\nwanted %v", back, err, in)
	}
	if got := a.Saved["h.f16"].Data; !slices.Equal(got, []float32{0x1p-24, 65504, 0}) || a.Saved["h.bf16"].Data[0] != 1 || a.Saved["h.num"].Data != nil {
		t.Errorf("values %v, %v", got, a.Saved["h.bf16"].Data)
	}

	a.Saved["h.f64"].Data[1] = .5
	// bfloat16 steps by 4/512 here: 3/512 is nearer to 4 than to 0, and 2/512,
	// half way, goes to the even one.
	copy(a.Saved["h.bf16"].Data, []float32{1 + 3./512, 1 + 2./512})
	if err := a.Save(out); err != nil {
		t.Fatal(err)
	}
	back, err = safetensors.Read(filepath.Join(out, WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	if d := back.Tensors[p+"h.f64"].Data; le.Uint64(d) != tenth || le.Uint64(d[8:]) != math.Float64bits(.5) {
		t.Errorf("float64 became %x", d)
	}
	if d := back.Tensors[p+"h.bf16"].Data; le.Uint16(d) != 0x3f81 || le.Uint16(d[2:]) != 0x3f80 {
		t.Errorf("1+3/512 and 1+2/512 in bfloat16 are %#x and %#x, wanted 0x3f81 and 0x3f80", le.Uint16(d), le.Uint16(d[2:]))
	}

	a.Saved["h.bf16"].Data[0] = math.MaxFloat32
	wantError(t, a.Save(out), "h.bf16", "beyond the range of BF16")
	a.Saved["h.bf16"].Data[0] = 1
	a.Saved["h.f16"].Data[0] = 1e5
	before, _ := os.ReadFile(filepath.Join(out, WeightsFile))
	wantError(t, a.Save(out), "h.f16", "100000", "beyond the range of F16")
	if after, _ := os.ReadFile(filepath.Join(out, WeightsFile)); !slices.Equal(before, after) {
		t.Error("a failed save changed the folder")
	}
	a.SetDType(safetensors.F32)
	if err := a.Save(out); err != nil {
		t.Fatal(err)
	}
	if back, err = safetensors.Read(filepath.Join(out, WeightsFile)); err != nil || back.Tensors[p+"h.f16"].DType != safetensors.F32 || back.Tensors[p+"h.num"].DType != safetensors.I64 {
		t.Errorf("SetDType: %v, %v", back, err)
	}
	a.Saved["h.f32"].Data[0] = float32(math.Inf(1))
	wantError(t, a.Save(out), "h.f32", "+Inf", "diverged")
}

// TestNewAdapterRoundTrip saves an adapter of every kind, marks included, and
// reads it back the same.
func TestNewAdapterRoundTrip(t *testing.T) {
	for _, dora := range []bool{false, true} {
		c := targets("conv_dw,grouped,dil,qkv,patch_embed.proj")
		c.Bias, c.UseDoRA, c.LoraBias, c.R, c.UseRSLoRA = "all", dora, !dora, 3, true
		p, err := NewPlan(c, zoo(), "head")
		if err != nil {
			t.Fatal(err)
		}
		a, err := NewAdapter(p, 5)
		if err != nil {
			t.Fatal(err)
		}
		a.Saved["blocks.0.attn.qkv.bias"] = NewTensor([]float32{1, 2}, 2)
		a.Saved["head.weight"] = NewTensor([]float32{1, 2, 3, 4}, 2, 2)
		dir := t.TempDir()
		if err := a.Save(dir); err != nil {
			t.Fatal(err)
		}
		b, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(b.Layers, a.Layers) || !reflect.DeepEqual(b.Saved, a.Saved) || !reflect.DeepEqual(b.Metadata, a.Metadata) {
			t.Errorf("dora %t: read back something else", dora)
		}
		bound, err := b.Bind(zoo())
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Sites {
			p.Sites[i].Note = ""
			bound.Sites[i].Note = ""
		}
		if !reflect.DeepEqual(bound.Sites, p.Sites) {
			t.Errorf("bound %+v\nplanned %+v", bound.Sites, p.Sites)
		}
		f, err := safetensors.Read(filepath.Join(dir, WeightsFile))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"base_model.model.blocks.0.attn.qkv.base_layer.bias", "base_model.model.head.weight",
			"base_model.model.stage.conv_dw.lora_delta.weight", "base_model.model.stage.grouped.lora_A.weight"} {
			if _, ok := f.Tensors[key]; !ok {
				t.Errorf("the file lacks %s", key)
			}
		}
		if a.Params() != p.Params()+6 {
			t.Errorf("%d parameters, wanted %d", a.Params(), p.Params()+6)
		}
	}
}

func TestBindRefuses(t *testing.T) {
	a := newAdapter(t, targets("fc,conv"), 1, linearSite("net.fc", 32, 16), convSite("net.conv", 32, 32, 3, 3, 1))
	_, err := a.Bind(append(sitesNamed("net.fc9"), linearSite("net.fc", 32, 20), convSite("net.conv", 32, 32, 5, 3, 1)))
	wantError(t, err, "net.fc: base_model.model.net.fc.lora_B.weight has shape [16 8]", "wants [20 8]",
		"net.conv.lora_A.weight has shape [8 32 3 3]", "wants [8 32 5 3]")
	_, err = a.Bind(sitesNamed("net.fcx", "net.conv"))
	wantError(t, err, "net.fc: the model has no such layer; near it: net.fcx", "net.conv.lora_A.weight has shape [8 32 3 3]", "wants [8 64]")
	grouped := newAdapter(t, targets("conv"), 1, convSite("conv", 32, 32, 3, 3, 1))
	_, err = grouped.Bind(sitesOne("conv", 16))
	wantError(t, err, "conv: rank 8 is not a multiple of the convolution's 16 groups")
}

func sitesOne(path string, groups int) []build.Site {
	return []build.Site{convSite(path, 32, 32, 3, 3, groups)}
}

// FuzzAssemble holds that no pair of files panics and that what is accepted
// can be saved.
func FuzzAssemble(f *testing.F) {
	for _, header := range []string{
		`{"base_model.model.fc.lora_A.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"base_model.model.fc.lora_B.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}`,
		`{"base_model.model.c.lora_A.weight":{"dtype":"BF16","shape":[2,1,1,1],"data_offsets":[0,4]},"base_model.model.c.lora_B.weight":{"dtype":"F16","shape":[2,1,1,1],"data_offsets":[4,8]}}`,
		`{"base_model.model.d.lora_delta.weight":{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[0,4]},"base_model.model.x":{"dtype":"I8","shape":[],"data_offsets":[4,5]}}`,
	} {
		for _, config := range []string{r2, `{"peft_type":"LORA","r":2,"use_dora":true,"vislora":{"format":1,"sites":{"c":{"r":2}}}}`} {
			b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
			b = append(append(b, header...), make([]byte, 16)...)
			var n int
			fmt.Sscan(header[strings.LastIndex(header, ",")+1:len(header)-3], &n)
			f.Add([]byte(config), b[:8+len(header)+n])
		}
	}
	f.Fuzz(func(t *testing.T, config, weights []byte) {
		c, err := ParseConfig(config)
		if err != nil || c.Validate() != nil {
			return
		}
		file, err := safetensors.Parse(weights)
		if err != nil {
			return
		}
		a, err := assemble(c, file)
		if err != nil {
			return
		}
		for key, tensor := range a.tensors() {
			out, err := tensor.encode()
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if !reflect.DeepEqual(out.Shape, file.Tensors[key].Shape) || !slices.Equal(out.Data, file.Tensors[key].Data) {
				t.Fatalf("%s: %v became %v", key, file.Tensors[key], out)
			}
		}
		if _, err := c.file(); err != nil {
			t.Fatal(err)
		}
	})
}
