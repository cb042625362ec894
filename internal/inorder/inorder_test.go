package inorder

import (
	"cmp"
	"slices"
	"testing"
)

func TestSort(t *testing.T) {
	type pair struct{ key, at int }
	var list []pair
	for i := range 1000 {
		list = append(list, pair{i * 7919 % 10, i})
	}
	want := slices.Clone(list)
	byKey := func(a, b pair) int { return cmp.Compare(a.key, b.key) }
	slices.SortStableFunc(want, byKey)
	if Sort(list, byKey); !slices.Equal(list, want) {
		t.Errorf("got %v, want %v", list, want)
	}
	Sort([]pair(nil), byKey)
}
